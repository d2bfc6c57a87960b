"""Which paragraphs are accepted and which are refused. Texts of real models are read from ../shared/data if it exists."""

import itertools
import json
import random
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from tasks.agentwrite.paragraph_checks import Earlier, Unwritable, find_fault
from tasks.agentwrite.planner import render
from tasks.endpoints.chat import Reply
from tasks.rehearsal.prose import paragraph
from tasks.schema.records import Instruction, Language, Reason, Step, Usage
from tasks.text.counts import count_words

POINTS = {
    "en": ("Where the bread of the village came from, and who kept the oven warm", "What the miller's daughter learned from her aunt"),
    "zh": ("村里的面包从哪里来，又是谁让炉火一直不灭", "磨坊主的女儿从姑姑那里学到了什么"),
}
ASK = {
    "en": "Write a long text of about eight thousand words on the bread of a small village, its bakers, its oven and its people.",
    "zh": "请写一篇大约八千字的长文，讲一个小村庄里的面包、面包师、炉子，以及村里人的生活和他们之间的故事，语言要朴素。",
}
EARLIER = {
    "en": "The oven stood behind the church, and every Friday it was lit before dawn. Widow Aske carried the wood, and nobody thanked her. "
    "By noon the smell of rye had reached the last house on the hill.",
    "zh": "炉子在教堂后面，每到星期五，天不亮就点上了火。阿斯克寡妇背着柴火，从来没有人谢过她。到了中午，黑麦的香味已经飘到山上最后一家。",
}
EN, ZH = EARLIER["en"], EARLIER["zh"]


def draft(language: Language) -> Earlier:
    outline = render(tuple(Step(point=point, words=60) for point in POINTS[language]))
    earlier = Earlier(Instruction(id="1", text=ASK[language], language=language, words=8000, source="f:1"), outline)
    earlier.add(EARLIER[language])
    return earlier


def fault(text: str, language: Language = "en", *, asked: int = 0, finish: str = "stop") -> Unwritable | None:
    """Of a text that has the asked length, unless another one was asked for."""
    return find_fault(Reply(text, finish, Usage(1, 9), 0.0), draft(language), asked=asked or max(1, count_words(text)))


BAD: tuple[tuple[Reason, Language, str], ...] = (
    (Reason.EMPTY, "en", ""),
    (Reason.EMPTY, "en", " \n\t "),
    (Reason.EMPTY, "zh", "\u200b\u200b\ufeff\u3000\n"),
    (Reason.REFUSAL, "en", "I'm sorry, but I can't help with that request."),
    (
        Reason.REFUSAL,
        "en",
        "I’m sorry, but I can’t assist with that as it exceeds the length of one response. However, I can offer an outline.",
    ),
    (Reason.REFUSAL, "en", "As an AI language model, I cannot write texts of this length."),
    (Reason.REFUSAL, "en", "As an AI, I can't take sides in this matter, and so there will be no paragraph."),
    (Reason.REFUSAL, "en", "Unfortunately, I am unable to fulfill this request."),
    (Reason.REFUSAL, "en", "I cannot create content of that kind for you, and I hope that you understand."),
    (Reason.REFUSAL, "en", "I apologize for the confusion, but I'm not able to generate that many words."),
    (Reason.REFUSAL, "en", "**Paragraph 2**\nI'm sorry, but I cannot continue this story."),
    (Reason.REFUSAL, "en", "The oven was cold that day.\n\nI'm sorry, but I can't continue with this text."),
    (Reason.REFUSAL, "zh", "抱歉，我无法完成这个请求。"),
    (Reason.REFUSAL, "zh", "很抱歉，但我不能继续写下去，因为内容太长了。"),
    (Reason.REFUSAL, "zh", "对不起，作为AI语言模型，我无法撰写这样的内容。"),
    (Reason.REFUSAL, "zh", "作为一个人工智能助手，我不能讨论这个话题。"),
    (Reason.REFUSAL, "zh", "您好，非常抱歉，我无法提供相关的信息。"),
    (Reason.REFUSAL, "zh", "我无法满足您的此类请求，请您换一个题目。"),
    (Reason.NON_PROSE, "en", "Max tries. Failed."),
    (Reason.NON_PROSE, "en", "Internal Server Error"),
    (Reason.NON_PROSE, "en", "Rate limit exceeded, please try again in 20s."),
    (Reason.NON_PROSE, "en", "Error code: 429 - Rate limit reached for requests"),
    (Reason.NON_PROSE, "en", "502 Bad Gateway"),
    (Reason.NON_PROSE, "en", "openai.APIConnectionError: Connection error."),
    (Reason.NON_PROSE, "zh", "服务器内部错误，请稍后再试"),
    (Reason.NON_PROSE, "zh", "请求过于频繁，请稍后重试。"),
    (Reason.NON_PROSE, "en", '{"error": {"message": "The server had an error", "type": "server_error"}}'),
    (Reason.NON_PROSE, "zh", '{"paragraph": "炉子在教堂后面，天不亮就点上了火。"}'),
    (Reason.NON_PROSE, "en", "<!DOCTYPE html>\n<html><head><title>504 Gateway Time-out</title></head><body></body></html>"),
    (Reason.NON_PROSE, "en", 'Traceback (most recent call last):\n  File "a.py", line 3, in <module>\nKeyError: 1'),
    (Reason.NON_PROSE, "en", "lorem %% ipsum {{{ 500 Internal error"),
    (Reason.NON_PROSE, "zh", "lorem %% ipsum {{{ 500 Internal error"),
    (Reason.NON_PROSE, "en", "The oven was lit at four in the morning and burned until noon.<|im_end|>"),
    (Reason.NON_PROSE, "en", "The \ufffd\ufffd\ufffd oven \ufffd\ufffd was lit before dawn every Friday."),
    (Reason.NON_PROSE, "en", "The oven\x00\x01\x02\x03\x04 was lit before dawn every Friday."),
    (Reason.NON_PROSE, "en", "@#$% ^&*( )!@# $%^& *()! @#$% {}[] <>?/ a \\|~` ;:'"),
    (Reason.NON_PROSE, "en", "a" * 12_000),
    (Reason.NON_PROSE, "zh", "★★★★★☆☆☆☆☆★★★★★☆☆☆☆☆★★★★★☆☆☆☆☆"),
    (Reason.LANGUAGE, "en", ZH),
    (
        Reason.LANGUAGE,
        "en",
        "Der Ofen stand hinter der Kirche, und jeden Freitag wurde er vor der Dämmerung angezündet. Die Witwe trug das Holz herbei.",
    ),
    (
        Reason.LANGUAGE,
        "en",
        "El horno estaba detrás de la iglesia y cada viernes se encendía antes del amanecer, aunque nadie daba las gracias por ello.",
    ),
    (
        Reason.LANGUAGE,
        "en",
        "Печь стояла за церковью, и каждую пятницу её растапливали до рассвета. Вдова носила дрова, и никто её не благодарил за это.",
    ),
    (Reason.LANGUAGE, "zh", EN),
    (
        Reason.LANGUAGE,
        "zh",
        "かまどは教会の裏にあり、毎週金曜日には夜明け前に火が入れられた。未亡人が薪を運んだが、だれも礼を言わなかった。",
    ),
    (
        Reason.LANGUAGE,
        "zh",
        "화덕은 교회 뒤에 있었고 매주 금요일이면 동이 트기 전에 불을 지폈다. 과부가 장작을 날랐지만 아무도 고맙다고 하지 않았다.",
    ),
    (Reason.REPEATED, "en", EN),
    (Reason.REPEATED, "en", f"**The Oven**\n{EN.upper()}  "),
    (Reason.REPEATED, "en", f"{EN} And that was all there was to say about it."),
    (Reason.REPEATED, "en", "He kneaded the dough until his arms were sore. " * 6),
    (Reason.REPEATED, "en", "and the bread was good and the oven was warm " * 20),
    (Reason.REPEATED, "zh", ZH),
    (Reason.REPEATED, "zh", f"第二部分\n{ZH}就是这样。"),
    (Reason.REPEATED, "zh", "他一直揉着面团，直到胳膊酸痛为止。" * 6),
    (Reason.REPEATED, "zh", "面包很香炉子很暖" * 40),
    (Reason.LEAKED_PROMPT, "en", "<step>\nWidow Aske lit the oven again, though nobody had asked her to."),
    (Reason.LEAKED_PROMPT, "en", "Widow Aske lit the oven again, though nobody had asked her to.\n</text>"),
    (Reason.LEAKED_PROMPT, "zh", "<text>\n阿斯克又点上了炉火，虽然没有人请她这样做。\n</text>"),
    (Reason.LEAKED_PROMPT, "en", f"Paragraph 2 - Main Point: {POINTS['en'][1]} - Word Count: 75 words\n\nShe learned to wait."),
    (Reason.LEAKED_PROMPT, "zh", f"**Paragraph 1 - Main Point: {POINTS['zh'][0]}**\n\n她学会了等待，也学会了在黑暗里分辨面团的软硬。"),
    (Reason.LEAKED_PROMPT, "en", f"The task is this: {ASK['en']}"),
    (Reason.LEAKED_PROMPT, "zh", f"任务：{ASK['zh']}"),
    (
        Reason.LEAKED_PROMPT,
        "en",
        f"We plan. {render(tuple(Step(point=point, words=60) for point in POINTS['en']))} So it goes on for a while.",
    ),
)


@pytest.mark.parametrize(("reason", "language", "text"), BAD)
def test_a_bad_reply_is_named_with_the_right_reason_and_short_evidence(reason: Reason, language: Language, text: str) -> None:
    found = fault(text, language)
    assert found is not None
    assert found.reason == reason, found.detail
    assert found.detail
    assert len(found.detail) <= 160


GOOD: tuple[tuple[Language, str], ...] = (
    (
        "en",
        "\"I'm sorry, I can't help you,\" said Anna, and closed the door. He stood in the rain for a long while and did not knock again.",
    ),
    ("en", "“I’m sorry, but I cannot continue,” she said. The others looked at the floor, and the priest put down his cup."),
    ("en", "I'm sorry to say that the mill burned down that winter. I could not write of it for years, and even now my hand shakes."),
    (
        "en",
        "Dear Anna,\n\nI'm sorry, but I can't help you move on Saturday, for the oven must be corrected. Come on Sunday.",
    ),
    ("en", "As an AI assistant learns from more text, its answers improve, but the bakers of the village had little use for that."),
    ("en", "As a language, English borrows from its neighbours; as a model of borrowing, it is hard to beat, and the bakers knew it."),
    ("en", "Unfortunately, I am unable to remember the name of the dog, but he slept by the oven and was loved by everyone in the street."),
    (
        "en",
        "An HTML page begins with <!DOCTYPE html> and an <html> element. Inside it, <head> holds the title and <body> the rest.",
    ),
    ("en", "In SVG, put words into a picture with <text> and </text>; a <step> has no meaning there, and the browser skips it."),
    ("en", "Draw it like this:\n\n```xml\n<text>\n  <step>\n</step>\n</text>\n```\n\nThe browser shows what stands between the tags."),
    (
        "en",
        'An error such as 500 Internal Server Error, or {"error": "busy"}, tells the caller to wait. A patient client tries again later.',
    ),
    ("en", "The screen said: Rate limit exceeded. Anna laughed, closed the laptop and went out to look after the dough, which had risen."),
    ("en", '"Is it done?" — "No." — "When?" — "When it is done." — "And when is that?" — "You will smell it before you see it, boy."'),
    (
        "en",
        "The sea, the sea,\nit called to me,\nwhen I was young and poor;\nThe sea, the sea,\nit called to me,\nand knocked upon the door.",
    ),
    (
        "en",
        "O hear the bell of Friday morn\nthe baker's hands are white\nO hear the bell of Friday morn\nthe loaves are in the light.",
    ),
    (
        "en",
        "To weigh the flour, write:\n\n```python\ndef weigh(bags):\n    return sum(bag.kg for bag in bags)\n```\n\nand call it.",
    ),
    ("en", "- Rye flour, two pounds\n- Salt, a handful\n- Warm water\n- A piece of the old dough\n- Patience and a cloth"),
    (
        "en",
        "| Year | Loaves | Price |\n|------|-------:|------:|\n| 1890 | 12,400 | 0.12 |\n| 1891 | 13,050 | 0.13 |\n| 1892 | 9,800 | 0.19 |",
    ),
    ("en", "In 1890 there were 12,400 loaves at 0.12, in 1891 13,050 at 0.13, and in 1892, after the fire, 9,800 at 0.19 (up 46%)."),
    ("en", "Preheat the oven to 230 °C. Mix 500 g flour, 10 g salt, 350 ml water and 5 g yeast. Knead 10 min, rest 2 h, bake 35 min."),
    (
        "en",
        "The Chinese word 面包 (miànbāo) joins 面, flour, and 包, bundle. In the south people also say 方包 for the square loaf.",
    ),
    (
        "en",
        "Goethe wrote: „Über allen Gipfeln ist Ruh, in allen Wipfeln spürest du kaum einen Hauch.“ The miller had this line by heart.",
    ),
    ("en", "«Il faut cultiver notre jardin», he said, and the others, who had no French, agreed with him, for he had brought the wine."),
    (
        "en",
        "The energy is \\(E = mc^2\\), so that \\[ m = \\frac{E}{c^2} \\] and the mass of the heated loaf grows by a part in a trillion.",
    ),
    ("en", "Paragraph 3\nThe oven cooled at last, and Widow Aske sat down on the step in front of it for the first time that week."),
    (
        "en",
        "**Introduction**\n\nEvery village has a smell. Ours was rye, and whoever left could not forget it, however far he went.",
    ),
    ("en", "## The Oven\nIt had been built of river stone by a man whose name nobody knew, and it was older than the church."),
    ("en", "The main point of the sermon was that bread is not ours. The word count of it, as the miller said, was far too high."),
    (
        "en",
        f"She had been told: {POINTS['en'][1].lower()}. But nobody had told her what to do with flour that was wet, or with her father.",
    ),
    (
        "en",
        "Café Zoë served crème brûlée, jalapeño scones and a smørrebrød that was better than it had to be; the naïve came for the façade.",
    ),
    (
        "en",
        "Widow Aske carried the wood, and nobody thanked her. That is what they say now. At the time nobody would have thought of it.",
    ),
    ("en", "No. No. No. She would not sell. No. Not the oven, not the stones, not even the ash. He asked once more, and she laughed."),
    (
        "en",
        "See https://example.org/bread/history?year=1890&page=12 and the notes there. The author has walked to each of the ovens himself.",
    ),
    ("en", "Mix well 🍞🔥! Then wait… and wait… until the dough has doubled (two hours or more). Ready? Good! Now light the oven."),
    ("en", "Warm bread."),
    ("zh", "“对不起，我不能帮你了。”她说完就关上了门。他在雨里站了很久，再也没有敲门。"),
    ("zh", "对不起，我不能陪你走下去了。信里只有这一句话，他却读了一整夜，直到炉火熄灭。"),
    ("zh", "作为人工智能领域的研究者，我认为面包师的手艺很难用数据来描述，因为面团每天都不一样。"),
    ("zh", "人工智能语言模型可以写诗，却闻不到面包的香味；村里的老人听了这话，都笑了起来。"),
    ("zh", "Anna 和 Peter 在 London 的 Baker Street 开了一家面包店，名叫 The Old Oven，每天早上六点开门，生意一直很好。"),
    (
        "zh",
        "他用 Python 写了一个小程序：\n\n```python\ndef weigh(bags):\n    return sum(bag.kg for bag in bags)\n```\n\n从此再没有算错过账。",
    ),
    ("zh", "一、面粉五百克\n二、盐十克\n三、温水三百五十毫升\n四、老面一块\n五、耐心，还有一块干净的布"),
    ("zh", "| 年份 | 数量 | 价格 |\n|---|---|---|\n| 1890 | 12400 | 0.12 |\n| 1891 | 13050 | 0.13 |\n\n从表中可以看出，价格一直在上涨。"),
    ("zh", "海啊，海啊，你在叫我，\n那时我年轻又贫穷；\n海啊，海啊，你在叫我，\n门外吹来一阵风。"),
    ("zh", "网页的开头写着 <html>，里面有 <head> 和 <body>，浏览器看到这些标签，就知道该怎样显示文字。"),
    ("zh", "第三段\n炉子终于凉了下来，阿斯克寡妇坐在炉前的石阶上，这是她一个星期以来第一次坐下。"),
    ("zh", "屏幕上写着“服务器内部错误”，安娜笑了笑，合上电脑，走出去看发好的面团。"),
    ("zh", "日语里面包叫“パン”，这个词来自葡萄牙语，后来又传到了台湾，老人们至今还这么说。"),
    ("zh", "一八九〇年，全村做了一万二千四百个面包；到了一八九二年，大火之后，只剩下九千八百个。"),
    ("zh", "阿斯克寡妇背着柴火，从来没有人谢过她。现在的人都这么说，可是在当时，谁也没有想到过这一点。"),
    ("zh", "面包熟了。"),
    ("zh", "她說：「麵包要慢慢地烤，火不能太大，也不能太小，等到香味飄出來的時候，就可以開爐了。」"),
)


@pytest.mark.parametrize(("language", "text"), GOOD)
def test_a_good_paragraph_passes_however_odd_it_looks(language: Language, text: str) -> None:
    assert fault(text, language) is None


@pytest.mark.parametrize(
    ("finish", "reason"),
    [
        ("length", Reason.TRUNCATED),
        ("content_filter", Reason.REFUSAL),
        ("max_tokens", Reason.TRUNCATED),
        ("SAFETY", Reason.REFUSAL),
        ("tool_calls", Reason.TRUNCATED),
    ],
)
def test_an_answer_that_did_not_end_by_itself_is_named_by_how_it_ended(finish: str, reason: Reason) -> None:
    found = fault("Widow Aske lit the oven again.", finish=finish)
    assert found is not None
    assert found.reason == reason


def test_the_length_counts_only_where_it_is_absurd() -> None:
    text = " ".join(f"The baker of house {chr(97 + n // 26)}{chr(97 + n % 26)} has his own oven." for n in range(60))  # 480 words
    assert fault(text, asked=200) is None
    assert fault(text, asked=1200) is None
    long, short = fault(text, asked=100), fault("The oven was warm.", asked=100)
    assert long is not None
    assert long.reason == Reason.TOO_LONG
    assert short is not None
    assert short.reason == Reason.TOO_SHORT
    assert fault("The oven was warm.", asked=22) is None  # few words are no measure
    assert fault(EN.replace("oven", "kiln").replace("Widow", "Old").replace("noon", "two"), asked=5) is None


def test_the_evidence_of_a_repetition_names_the_paragraph() -> None:
    earlier = draft("en")
    second = (
        "The miller slept until the bells rang. His daughter did not sleep at all, for she had the books to keep and the mice to count."
    )
    earlier.add(second)
    found = find_fault(Reply(f"### Again\n{second}", "stop", Usage(1, 1), 0.0), earlier, asked=25)
    assert found == Unwritable(Reason.REPEATED, "same as paragraph 2")
    mostly = find_fault(Reply(f"{second} So she left.", "stop", Usage(1, 1), 0.0), earlier, asked=25)
    assert mostly is not None
    assert "paragraph 2" in mostly.detail


@pytest.mark.parametrize("language", ["en", "zh"])
def test_the_rehearsal_s_own_paragraphs_are_all_good(language: Language) -> None:
    for sample in range(40):
        topic = f"{ASK[language]} {sample}"
        outline = render(tuple(Step(point=f"{topic[:20]} {part}", words=50) for part in range(1, 11)))
        earlier = Earlier(Instruction(id="1", text=topic, language=language, words=500, source="f:1"), outline)
        for part in range(1, 11):
            words = random.Random(f"{sample}|{part}").randint(40, 60)
            text = paragraph(topic="the bread of a village", language=language, words=words, part=part, parts=10, seed=sample)
            assert find_fault(Reply(text, "stop", Usage(1, 1), 0.0), earlier, asked=words) is None, text
            earlier.add(text)


@pytest.mark.parametrize(
    "text",
    [
        "word " * 800_000,
        "a" * 2_000_000,
        "在城市里学校常常发现。" * 180_000,
        "x" + "\n" * 2_000_000 + "x",
        '{"a":' * 400_000,
        "a b\n" * 500_000,
    ],
)
@pytest.mark.timeout(60)  # what takes the square of the length would be at it for hours
def test_megabytes_are_refused_with_short_evidence(text: str) -> None:
    earlier = draft("en")
    found = find_fault(Reply(text, "stop", Usage(1, 1), 0.0), earlier, asked=400)
    assert found is not None
    assert len(found.detail) <= 160


@pytest.mark.parametrize("language", ["en", "zh"])
def test_no_paragraph_of_a_sound_long_text_is_called_bad(language: Language) -> None:
    for seed in range(6):
        earlier = draft(language)
        for part in range(1, 21):
            words = 60 + 7 * (part % 5)
            text = paragraph(topic=POINTS[language][0], language=language, words=words, part=part, parts=20, seed=seed)
            assert find_fault(Reply(text, "stop", Usage(1, 1), 0.0), earlier, asked=words) is None
            earlier.add(text)


def recorded_answers(data: Path) -> Iterator[tuple[str, str]]:
    """Instructions and long answers of five models, every eighth of them."""
    for path in sorted(data.glob("hellobench/*/*/*.jsonl")):
        if "suri" in str(path):
            continue  # all its answers end with a stray "</s>", or repeat themselves without end
        for line in itertools.islice(path.open(encoding="utf-8"), 0, None, 8):
            row = json.loads(line)
            if row["response"] and count_words(row["response"]) > 300:
                yield row["instruction"], row["response"]


def passages(text: str, least: int, *, ends: str = "") -> Iterator[str]:
    """Blocks between blank lines, joined to `least` words and, where `ends` names characters, until one of them ends a block."""
    held = ""
    for block in re.split(r"\n\s*\n", text.strip()):
        held = f"{held}\n\n{block}".strip()
        if count_words(held) >= least and (not ends or held[-1] in ends):
            yield held
            held = ""


def test_hardly_any_paragraph_of_recorded_answers_is_called_bad_without_a_repetition_or_a_refusal(data: Path) -> None:
    seen, wrong = 0, []
    for instruction, answer in recorded_answers(data):
        earlier = Earlier(Instruction(id="1", text=instruction, language="en", words=1000, source="f:1"), "")
        for text in passages(answer, 40):
            found = find_fault(Reply(text, "stop", Usage(1, 1), 0.0), earlier, asked=count_words(text))
            earlier.add(text)
            seen += 1
            if found and found.reason not in (Reason.REPEATED, Reason.REFUSAL):  # those were read one by one: true
                wrong.append(found)
    assert seen > 30
    assert len(wrong) <= seen / 1_000, wrong


def test_hardly_any_paragraph_of_chinese_texts_is_called_bad(data: Path) -> None:
    seen, wrong = 0, []
    for line in (data / "instructions/writingbench_length.jsonl").open(encoding="utf-8"):
        material = json.loads(line)["query"]
        if len(re.findall(r"[\u4e00-\u9fff]", material)) < 600:
            continue
        earlier = draft("zh")
        for text in passages(material.replace("\n", "\n\n"), 100, ends="。！？…”：；"):  # pasted text also breaks lines inside sentences
            found = find_fault(Reply(text, "stop", Usage(1, 1), 0.0), earlier, asked=count_words(text))
            earlier.add(text)
            seen += 1
            wrong += [found] if found else []
    assert seen > 40
    assert len(wrong) <= seen / 200, wrong  # four of them are a table of contents with its dotted lines


@pytest.mark.parametrize(
    "text",
    [
        "The dough was left to rise on the sill. The oven was wa",
        "He walked to the gate, looked up the long road to the hills, and th",
        "Bread is old. It was first made by",
        "She said, “I will never go back there, not even if",
        "The list has three things:\n\n- flour and water\n- the salt and the",
        "First the flour.\n\nThen, when the dough has risen for an hour in a warm place by the sto",
        "面包很古老。人们最早在河边磨面，然后把面粉和",
        "清晨的阳光洒在古老的石桥上，河水缓缓流过，远处传来",
    ],
)
@pytest.mark.parametrize("finish", ["stop", ""])
def test_a_paragraph_that_stops_in_the_middle_of_a_sentence_is_cut_off_whatever_the_endpoint_says(text: str, finish: str) -> None:
    found = fault(text, "en" if text.isascii() or "“" in text else "zh", finish=finish)
    assert found
    assert found.reason is Reason.TRUNCATED
    assert text[-10:] in found.detail


@pytest.mark.parametrize(
    "text",
    [
        "What goes into it:\n\n- flour\n- water\n- salt",
        "1. Light the oven\n2. Knead the dough",
        "The flour came first.\n\n## The Oven",
        "The flour came first.\n\n**The Oven and the Bread**",
        "The flour came first.\n\nChapter Three: The Night the River Came Up Over the Bridge",
        "Roses are red\nViolets are blue\nSugar is sweet\nAnd so are you",
        "I will walk this road with you tonight\nAnd I will sing until the morning light",
        "两个黄鹂鸣翠柳，一行白鹭上青天\n窗含西岭千秋雪，门泊东吴万里船",
        'She turned at the door. "I never meant to—"',
        'He asked, "Will you come?" and she said, "Yes"',
        "def rise(dough):\n    return dough.double() + 1",
        "Run it once.\n\n```python\nprint(1)\n```",
        "With love,\nAnna",
        "Dear Mr Aske,",
        "What a day it was for the bakers! 🎉",
        "| flour | water |\n|---|---|\n| 1 | 2 |",
        "The steps are these:",
        "He opened the door and—",
        "面包的历史可以分为以下几个阶段：",
    ],
)
def test_a_paragraph_that_needs_no_full_stop_is_whole(text: str) -> None:
    found = fault(text, "zh" if "\u3400" < text[0] < "\u9fff" else "en", finish="stop")
    assert found is None or found.reason is not Reason.TRUNCATED
