"""A real browser (headless Chromium), controlled by its own protocol, that shows pages as a logged-in user sees them."""

import base64
import json
import shutil
import subprocess
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from websockets.sync.client import connect
from websockets.sync.connection import Connection

CHROMIUM = next((found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None)
SIZE = "1600,1300"
CONTRAST = """
(() => {
  const parse = (text) => { const n = text.match(/[\\d.]+/g).map(Number); return n.length < 4 ? [...n.slice(0, 3), 1] : n };
  const light = (rgb) => {
    const [r, g, b] = rgb.slice(0, 3).map((v) => v / 255).map((v) => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const over = (top, below) => [0, 1, 2].map((i) => top[i] * top[3] + below[i] * (1 - top[3]));
  const background = (element) => {
    const layers = [];
    for (let at = element; at; at = at.parentElement) layers.push(parse(getComputedStyle(at).backgroundColor));
    let color = matchMedia('(prefers-color-scheme: dark)').matches ? [0, 0, 0] : [255, 255, 255];
    for (const layer of layers.reverse()) color = over(layer, color);
    return color;
  };
  const found = [];
  for (const element of document.querySelectorAll('body *')) {
    const own = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
    const box = element.getBoundingClientRect(), style = getComputedStyle(element);
    if (!own || !box.width || !box.height || style.visibility === 'hidden' || box.right < 0) continue;
    const behind = background(element);
    const written = element instanceof SVGElement ? style.fill : style.color;
    if (!/^rgb/.test(written)) continue;
    const front = over(parse(written), behind);
    const [high, low] = [light(front), light(behind)].sort((a, b) => b - a);
    const ratio = (high + 0.05) / (low + 0.05), size = parseFloat(style.fontSize);
    const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
    if (ratio < (large ? 3 : 4.5)) found.push(`${ratio.toFixed(2)} ${element.tagName} ${element.textContent.trim().slice(0, 40)}`);
  }
  return found;
})()
"""


class Browser:
    """One tab."""

    def __init__(self, socket: Connection) -> None:
        self._socket, self._asked = socket, 0

    def allow(self, password: str) -> None:
        """Send `NAME:PASSWORD` with every request."""
        header = f"Basic {base64.b64encode(password.encode()).decode()}"
        self._ask("Network.enable")
        self._ask("Network.setExtraHTTPHeaders", headers={"Authorization": header})

    def text(self, url: str, *awaited: str, seconds: float = 90) -> str:
        """What the page shows once all of these words are on it. Raises AssertionError with what it shows if they do not come."""
        self._ask("Page.enable")
        self._ask("Page.navigate", url="about:blank")  # else another fragment of the same page is no new page
        self._ask("Page.navigate", url=url)
        end, shown = time.monotonic() + seconds, ""
        while not all(word in shown for word in awaited):
            assert time.monotonic() < end, f"{[word for word in awaited if word not in shown]} not on {url}: {shown[-3000:]}"
            time.sleep(0.5)
            shown = str(self.run("document.body ? document.body.innerText : ''"))
        return shown

    def run(self, script: str) -> Any:
        """The value of a JavaScript expression in the page."""
        return self._ask("Runtime.evaluate", expression=script, returnByValue=True)["result"].get("value")

    def screenshot(self, path: Path, *, whole: bool = False) -> None:
        """What the window shows, or the whole page."""
        path.write_bytes(base64.b64decode(self._ask("Page.captureScreenshot", captureBeyondViewport=whole)["data"]))

    def window(self, width: int, height: int, *, dark: bool = False, phone: bool = False) -> None:
        """The size of the window in CSS pixels, the colour scheme, and whether it is a phone's."""
        self._ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        features = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self._ask("Emulation.setEmulatedMedia", media="", features=features)

    def pdf(self, path: Path) -> None:
        """The page as it is printed on A4."""
        path.write_bytes(base64.b64decode(self._ask("Page.printToPDF", printBackground=True, paperWidth=8.27, paperHeight=11.69)["data"]))

    def low_contrast(self) -> list[str]:
        """The visible texts with less contrast than WCAG 2.2 level AA asks for: 4.5:1, and 3:1 for large texts."""
        found: list[str] = self.run(CONTRAST)
        return found

    def focused(self) -> str:
        """The element that has the focus: its tag, and its id, name or text."""
        name = "(at.id || at.name || at.innerText || '').slice(0, 40)"
        return str(self.run(f"(() => {{ const at = document.activeElement; return at.tagName + ' ' + {name} }})()"))

    def press(self, key: str, *, code: int = 0, text: str = "") -> None:
        """A key, pressed and released: `j` with its text, `Tab` and `Enter` with their codes."""
        common = {"key": key, "windowsVirtualKeyCode": code or ord(key[0].upper())}
        given = text or (key if len(key) == 1 else "")
        self._ask("Input.dispatchKeyEvent", type="keyDown", **common, **({"text": given} if given else {}))
        self._ask("Input.dispatchKeyEvent", type="keyUp", **common)

    def click(self, selector: str) -> None:
        """A click of the mouse on the first element."""
        place = self.run(
            f"(() => {{ const found = document.querySelector({json.dumps(selector)}); found.scrollIntoView({{block: 'center'}});"
            " const box = found.getBoundingClientRect(); return [box.x + box.width / 2, box.y + box.height / 2] })()"
        )
        for kind in ("mousePressed", "mouseReleased"):
            self._ask("Input.dispatchMouseEvent", type=kind, x=place[0], y=place[1], button="left", clickCount=1)

    def _ask(self, method: str, **params: Any) -> Mapping[str, Any]:
        self._asked += 1
        self._socket.send(json.dumps({"id": self._asked, "method": method, "params": params}))
        while (answer := json.loads(self._socket.recv(timeout=60))).get("id") != self._asked:
            pass  # events
        assert "error" not in answer, answer
        found: Mapping[str, Any] = answer["result"]
        return found


@contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A tab, for as long as the block lasts; its profile goes to `folder`."""
    assert CHROMIUM
    options = ["--headless=new", "--no-sandbox", "--disable-gpu", "--remote-debugging-port=0", f"--window-size={SIZE}"]
    process = subprocess.Popen([CHROMIUM, *options, f"--user-data-dir={folder}", "about:blank"], stderr=subprocess.DEVNULL)
    try:
        end, told = time.monotonic() + 60, folder / "DevToolsActivePort"
        while not (told.is_file() and told.read_text().count("\n")):
            assert process.poll() is None
            assert time.monotonic() < end
            time.sleep(0.2)
        with urllib.request.urlopen(f"http://127.0.0.1:{told.read_text().split()[0]}/json", timeout=30) as answer:
            tab = next(one for one in json.load(answer) if one["type"] == "page")
        with connect(tab["webSocketDebuggerUrl"], max_size=None) as socket:
            yield Browser(socket)
    finally:
        process.kill()
        process.wait()
