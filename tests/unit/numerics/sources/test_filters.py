"""Filters as the configuration writes them."""

from __future__ import annotations

import numpy as np
import pytest
from source_fields import catalog_at

from alignsvc.domain.quality import SourceFlag
from alignsvc.domain.sources import SourceCatalog
from alignsvc.errors import ConfigError
from alignsvc.numerics.sources.filters import (
    SOURCE_COLUMNS,
    apply_filters,
    kept_rows,
    parse_filter,
    strongest,
)


def catalog(flux, flags=None) -> SourceCatalog:
    plain = catalog_at(list(range(len(flux))), [0.0] * len(flux))
    columns = dict(plain.columns()) | {"flux": np.array(flux, float), "snr": np.array(flux, float)}
    if flags is not None:
        columns["flags"] = np.array(flags, np.int64)
    return SourceCatalog(**columns)


def kept(texts, flux, flags=None):
    return apply_filters(catalog(flux, flags), [parse_filter(t) for t in texts]).id.tolist()


@pytest.mark.parametrize(
    ("text", "ids"),
    [
        ("flux > 20", [3, 4]),
        ("flux >= 20", [2, 3, 4]),
        ("flux<2e1", [1]),
        ("flux <= 20", [1, 2]),
        ("flux == 20", [2]),
        ("flux != 20", [1, 3, 4]),
        ("flux between 20 and 30.0", [2, 3]),
        ("  flux   between  -5 and +.5e2 ", [1, 2, 3, 4]),
        ("highest 2 of flux", [3, 4]),
        ("lowest 1 of flux", [1]),
        ("highest 9 of flux", [1, 2, 3, 4]),
        ("id < 3", [1, 2]),
    ],
)
def test_each_form_keeps_what_it_says(text, ids):
    assert kept([text], [10, 20, 30, 40]) == ids


@pytest.mark.parametrize("name", SOURCE_COLUMNS)
def test_every_column_can_be_filtered(name):
    assert parse_filter(f"{name} >= 0").column == name


@pytest.mark.parametrize("flag", [f for f in SourceFlag if f])
def test_every_flag_can_be_refused(flag):
    flags = [0, int(flag), int(flag) | 32, 0]
    assert kept([f"not {flag.name.lower()}"], [1, 2, 3, 4], flags) == [1, 4]


def test_a_nan_fulfils_no_condition():
    for text in ("flux > 0", "flux != 0", "flux between 0 and 9", "highest 5 of flux"):
        assert kept([text], [np.nan, 2.0]) == [2]


def test_filters_are_applied_in_order():
    flux, flags = [10, 20, 30, 40], [0, 0, 0, int(SourceFlag.SATURATED)]
    assert kept(["not saturated", "highest 2 of flux"], flux, flags) == [2, 3]
    assert kept(["highest 2 of flux", "not saturated"], flux, flags) == [3]


def test_of_equal_sources_the_lower_id_wins():
    assert kept(["highest 2 of flux"], [7, 7, 7]) == [1, 2]


def test_the_strongest_sources_stay_in_order_of_id():
    assert strongest(catalog([5, 1, 9]), 2).id.tolist() == [1, 3]


def test_no_filters_keep_all_and_an_empty_catalogue_passes():
    assert kept([], [3, 1]) == [1, 2]
    assert len(apply_filters(SourceCatalog.empty(), [parse_filter("highest 3 of flux")])) == 0


def test_a_users_own_column_can_be_filtered():
    condition = parse_filter("mag < 20", columns=("ra", "dec", "mag"))
    rows = kept_rows({"ra": np.zeros(3), "mag": np.array([21.0, 19.0, np.nan])}, [condition])
    assert rows.tolist() == [1]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("flx > 20", "did you mean 'flux'"),
        ("highest 5 of fwmh", "did you mean 'fwhm'"),
        ("not saturatd", "did you mean 'saturated'"),
        ("mag < 20", "no column 'mag'"),
    ],
)
def test_an_unknown_name_is_an_error_that_gives_the_nearest(text, says):
    with pytest.raises(ConfigError, match=says) as caught:
        parse_filter(text)
    assert text in str(caught.value)


@pytest.mark.parametrize(
    "text", ["", "flux", "flux > ", "flux > big", "20 < flux", "flux > 1 and snr > 2", "top 5"]
)
def test_what_is_not_understood_is_an_error_with_the_grammar(text):
    with pytest.raises(ConfigError, match="COLUMN between NUMBER and NUMBER"):
        parse_filter(text)


def test_limits_in_the_wrong_order_are_refused():
    with pytest.raises(ConfigError, match="exchange"):
        parse_filter("fwhm between 8 and 2")


def test_flags_need_a_column_of_flags():
    with pytest.raises(ConfigError, match="no column 'flags'"):
        parse_filter("not saturated", columns=("ra", "dec"))
