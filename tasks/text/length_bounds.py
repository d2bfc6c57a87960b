"""Read the bound of a length: "no fewer than 900 words" is at least 900, 不得超过900字 is at most 900."""

import re

from tasks.schema.records import LengthKind
from tasks.text import length_cues as cues
from tasks.text.quantities import NEAR, Quantity


def bound(quantity: Quantity, text: str) -> tuple[LengthKind, int, int]:
    """The kind of the bound, and how many characters its phrase has before and after the quantity."""
    start, end = quantity.first.start, quantity.end
    before, behind = text[max(0, start - NEAR) : start], text[end : end + NEAR]
    if not quantity.unit and (unit := cues.CJK_UNIT.match(behind)):  # 字数2000字以上: a label and a unit
        behind = behind[unit.end() :]
    if quantity.low < quantity.high:
        lead = cues.RANGE_LEAD.search(before)
        return "range", len(before) - lead.start() if lead else 0, 0
    if text[start] in "百千万" and before[-1:] in ("上", "过", "破") and before[-2:] not in ("以上", "不过"):  # 上万字
        return "least", 1, 0
    if (match := cues.EXACTLY.search(before)) and len(before) - match.end() <= 12:
        return "exact", len(before) - match.start(), 0
    if (match := cues.EXACTLY.search(behind)) and match.start() <= 8:
        return "exact", 0, match.end()
    if more_or_less := (cues.MORE_BEHIND.match(behind) or cues.LESS_BEHIND.match(behind)):
        up = bool(cues.MORE_BEHIND.match(behind))
        negated = cues.NOT_BEHIND.match(behind[more_or_less.end() :])
        trail = more_or_less.end() + (negated.end() if negated else 0)
        return "least" if up != bool(negated) else "most", 0, trail
    if match := cues.OR_MORE.match(behind):
        return "least", 0, match.end()
    if re.search(r"\+|plus|or more|above", quantity.unit):
        return "least", 0, 0
    if re.search(r"fewer|less", quantity.unit):
        return "most", 0, 0
    if match := cues.OR_LESS.match(behind):
        return "most", 0, match.end()
    return _bound_before(before, behind)


def _bound_before(before: str, behind: str) -> tuple[LengthKind, int, int]:
    fault = cues.FAULT.match(behind)
    turned = bool(fault and is_reproach(fault[0]))
    for pattern, up in ((cues.MORE, True), (cues.LESS, False)):
        if match := pattern.search(before):
            negated = cues.NEGATED.search(before[: match.start()])
            kind: LengthKind = "least" if up != (bool(negated) != turned) else "most"
            return kind, len(before) - (negated or match).start(), fault.end() if fault and turned else 0
    if match := cues.AT_LEAST.search(before):
        return "least", len(before) - match.start(), 0
    if match := cues.AT_MOST.search(before):
        about = cues.ABOUT.match(behind)
        if re.match("控制|限|limit", match[0]) and (about or re.search("about|approx|around|roughly|约", match[0])):  # 控制在1500字左右
            return "exact", len(before) - match.start(), about.end() if about else 0
        return "most", len(before) - match.start(), 0
    about = cues.ABOUT.match(behind)
    return "exact", 0, about.end() if about else 0


def is_reproach(fault: str) -> bool:
    """Whether a phrase states a fault: "is too long", "will not be accepted"; not "is enough"."""
    positive = re.search(r"acceptable|accepted|allowed|enough|(?<!in)sufficient|read\b|considered|graded|counted", fault)
    return not positive or fault.startswith("un") or bool(re.search(r"not|n['’]t|unaccept", fault))
