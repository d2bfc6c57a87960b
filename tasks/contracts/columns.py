"""Build a table of measures from rows, block by block, so that memory contains only the columns."""

from collections.abc import Iterable
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas as pd
    import pyarrow as pa

BLOCK = 10_000  # rows


def table(rows: Iterable[NamedTuple], kind: type[NamedTuple]) -> "pd.DataFrame":
    """A frame with the fields of `kind` as columns, like `pd.DataFrame(list(rows))` but without the list. All `rows` are of `kind`.

    Numbers are int64 or float64, texts are Arrow strings. A column without any value contains None.
    """
    import pandas as pd
    import pyarrow as pa

    waiting, fields = iter(rows), kind._fields
    blocks: list[list[pa.Array]] = []
    while block := list(islice(waiting, BLOCK)):
        blocks.append([pa.array(values) for values in zip(*block, strict=True)])
    if not blocks:
        return pd.DataFrame([], columns=list(fields))
    return pd.DataFrame({name: _column(list(parts)) for name, parts in zip(fields, zip(*blocks, strict=True), strict=True)})


def _column(parts: list["pa.Array"]) -> object:
    """Join a column's blocks, and give blocks that have only nulls the type of the others."""
    import pyarrow as pa

    kinds = {part.type for part in parts} - {pa.null()}
    kind = pa.float64() if len(kinds) > 1 else next(iter(kinds), pa.null())
    return pa.chunked_array([part.cast(kind) for part in parts]).to_pandas()
