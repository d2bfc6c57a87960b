"""Fold a text for pattern matching: NFKC, lower case, Traditional Chinese as Simplified, formal Chinese numerals as common ones."""

import re

from tasks.text.unicode import normalized

_PAIRS = (
    "萬万 兩两 寫写 數数 於于 過过 餘余 來来 個个 頁页 張张 篇篇 節节 則则 總总 計计 達达 約约 內内 與与 紙纸 編编 領领 讀读 聽听"
    " 說说 認认 識识 學学 會会"
    " 詞词 彙汇 縮缩 擴扩 潤润 壓压 單单 漢汉 語语 間间 從从 將将 對对 這这 標标 題题 論论 結结 開开 頭头 準准 許许 應应 該该 嚴严"
    " 別别 無无 長长 發发 幾几"
    " 為为 進进 實实 際际 圍围 週周 點点 種种 話话 環环 複复 雜杂 團团 誤误 動动 給给 樣样 邊边 試试 見见 門门 報报 條条 組组 項项"
    " 齊齐 滿满 減减 簡简 煉炼"
    " 歸归 納纳 刪删 濃浓 讓让 貼贴 絕绝 並并 還还 後后 員员 經经 書书 導导 問问 寬宽 調调 評评 檢检 離离 譯译 訂订 視视 確确 記记"
    " 請请 鐘钟 據据 當当 稱称"
    " 貳二 贰二 貮二 參三 叁三 陸六 壹一 肆四 柒七 捌八 玖九 拾十 佰百 仟千 İi"
)
FOLD = {ord(pair[0]): pair[1] for pair in _PAIRS.split()}
# Circled list numbers, which NFKC would join to the number that follows: ①500字.
_MARKS = re.compile("[\u2460-\u24ff\u2776-\u2793\u2070-\u2089]")
_HALF = re.compile(r"(?<!\d)(?=[½¼¾])")
_FRACTION = re.compile("[½¼¾]")
_FRACTIONS = {"½": ".5", "¼": ".25", "¾": ".75"}


def normal(text: str) -> str:
    """`text` in NFKC, with ½ as .5 and without circled numbers."""
    if text.isascii():
        return text
    if _FRACTION.search(text):
        text = _FRACTION.sub(lambda match: _FRACTIONS[match[0]], _HALF.sub("0", text))
    return normalized("NFKC", _MARKS.sub(" ", text))


def fold(normal_text: str) -> str:
    """The result of `normal`, folded for the patterns. The length does not change, so positions remain valid."""
    simple = normal_text if normal_text.isascii() else normal_text.translate(FOLD)
    lower = simple.lower()
    return lower if len(lower) == len(simple) else "".join(low if len(low := one.lower()) == 1 else one for one in simple)
