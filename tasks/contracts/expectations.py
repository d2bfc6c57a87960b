"""Expectations that Great Expectations lacks or that fail there: a quantile, and the share of the rarest value.

Its own ExpectColumnQuantileValuesToBeBetween raises TypeError with numpy 2. Importing this module imports Great Expectations.
"""

from typing import TYPE_CHECKING, ClassVar

from great_expectations.execution_engine import PandasExecutionEngine
from great_expectations.expectations.expectation import ColumnAggregateExpectation, render_suite_parameter_string
from great_expectations.expectations.metrics.column_aggregate_metric_provider import ColumnAggregateMetricProvider, column_aggregate_value
from great_expectations.render import LegacyRendererType, RenderedStringTemplateContent
from great_expectations.render.renderer.renderer import renderer

if TYPE_CHECKING:
    import pandas as pd
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

QUANTILE, RAREST = "column.safe_quantile", "column.rarest_share"

Observed = dict[str, object]  # as Great Expectations takes it


class ColumnQuantile(ColumnAggregateMetricProvider):
    """A quantile of the column's values (nulls are ignored), as a float."""

    metric_name = QUANTILE
    value_keys = ("quantile",)

    @column_aggregate_value(engine=PandasExecutionEngine)
    def _pandas(cls, column: "pd.Series[float]", quantile: float, **_: object) -> float | None:
        return float(column.quantile(quantile)) if len(column) else None


class ColumnRarestShare(ColumnAggregateMetricProvider):
    """The share of the least frequent value among those that occur (0 to 1); 1 if there is only one value."""

    metric_name = RAREST

    @column_aggregate_value(engine=PandasExecutionEngine)
    def _pandas(cls, column: "pd.Series[float]", **_: object) -> float | None:
        return float(column.value_counts(normalize=True).min()) if len(column) else None


class _Bounded(ColumnAggregateExpectation):
    """Base class: one aggregate of a column must be between two bounds; None is no bound."""

    min_value: float | None = None
    max_value: float | None = None

    def _holds(self, metrics: dict[str, float | None], name: str) -> Observed:
        seen = metrics[name]
        low, high = self.min_value, self.max_value
        inside = seen is not None and (low is None or seen >= low) and (high is None or seen <= high)
        return {"success": bool(inside), "result": {"observed_value": seen}}


def _said(configuration: "ExpectationConfiguration", text: str) -> list[RenderedStringTemplateContent]:
    """A line of the data docs: `text` with the expectation's arguments filled in."""
    given = {"min_value": "no", "max_value": "no", **configuration.kwargs}
    return [RenderedStringTemplateContent(content_block_type="string_template", string_template={"template": text, "params": given})]


class ExpectColumnQuantileToBeBetween(_Bounded):
    """A quantile of a column must be between two bounds."""

    quantile: float
    metric_dependencies: ClassVar[tuple[str, ...]] = (QUANTILE,)
    success_keys: ClassVar[tuple[str, ...]] = ("quantile", "min_value", "max_value")

    def _validate(
        self, metrics: dict[str, float | None], runtime_configuration: object = None, execution_engine: object = None
    ) -> dict[str, object]:
        return self._holds(metrics, QUANTILE)

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    @render_suite_parameter_string
    def _prescriptive_renderer(cls, configuration: "ExpectationConfiguration", **_: object) -> list[RenderedStringTemplateContent]:
        return _said(configuration, "$column: its quantile $quantile must lie between $min_value and $max_value.")


class ExpectColumnRarestShareToBeBetween(_Bounded):
    """The share of a column's rarest value must be between two bounds. It measures the balance of the column."""

    metric_dependencies: ClassVar[tuple[str, ...]] = (RAREST,)
    success_keys: ClassVar[tuple[str, ...]] = ("min_value", "max_value")

    def _validate(
        self, metrics: dict[str, float | None], runtime_configuration: object = None, execution_engine: object = None
    ) -> dict[str, object]:
        return self._holds(metrics, RAREST)

    @classmethod
    @renderer(renderer_type=LegacyRendererType.PRESCRIPTIVE)
    @render_suite_parameter_string
    def _prescriptive_renderer(cls, configuration: "ExpectationConfiguration", **_: object) -> list[RenderedStringTemplateContent]:
        return _said(configuration, "$column: its rarest value must have a share of $min_value or more.")
