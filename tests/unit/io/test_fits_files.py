"""Pixels as they stand in files: byte orders, scalings, compression, damage."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pytest
from astropy.io import fits

from alignsvc.errors import DataError
from alignsvc.io.fits_files import content_digest, open_fits
from alignsvc.io.fits_planes import read_flags, read_plane
from alignsvc.reasons import FailureKind

PIXELS = np.arange(48, dtype=np.float32).reshape(6, 8) * 1.5 - 7.0


def written(folder: Path, *hdus: object, name: str = "a.fits") -> str:
    path = folder / name
    fits.HDUList(list(hdus)).writeto(path)
    return str(path)


def plane_of(path: str, index: int) -> np.ndarray:
    with open_fits(path) as file:
        return read_plane(file, index)


def failure_of(path: str) -> DataError:
    with pytest.raises(DataError) as caught, open_fits(path):
        pass
    return caught.value


@pytest.mark.parametrize("dtype", [">f4", ">f8", "u1", ">i2", ">i4"])
def test_pixels_of_every_type_come_back_as_native_float32(tmp_path: Path, dtype: str) -> None:
    values = np.arange(48).reshape(6, 8).astype(dtype)
    pixels = plane_of(written(tmp_path, fits.PrimaryHDU(values)), 0)
    assert pixels.dtype == np.float32 and pixels.dtype.isnative
    np.testing.assert_array_equal(pixels, values)
    pixels[0, 0] = 5  # a fresh array: what is done to it does not reach the file


@pytest.mark.parametrize("dtype", [np.uint16, np.uint32, np.int8])
def test_unsigned_pixels_are_shifted_by_bzero(tmp_path: Path, dtype: type) -> None:
    top = np.iinfo(dtype).max
    values = np.array([[0, 1, 2], [top - 2, top - 1, top]], dtype=dtype)
    with fits.open(written(tmp_path, fits.PrimaryHDU(values))) as hdus:
        assert "BZERO" in hdus[0].header
    np.testing.assert_array_equal(
        plane_of(str(tmp_path / "a.fits"), 0), values.astype(np.float64).astype(np.float32)
    )


def test_bscale_and_blank_are_applied(tmp_path: Path) -> None:
    hdu = fits.PrimaryHDU(np.array([[1, 2], [3, -99]], dtype=np.int16))
    path = written(tmp_path, hdu)
    for keyword, value in (("BSCALE", 0.5), ("BZERO", 10.0), ("BLANK", -99)):
        fits.setval(path, keyword, value=value)
    np.testing.assert_array_equal(plane_of(path, 0), [[10.5, 11.0], [11.5, np.nan]])


def test_float64_beyond_float32_becomes_infinite_without_a_warning(tmp_path: Path) -> None:
    pixels = plane_of(written(tmp_path, fits.PrimaryHDU(np.array([[1e300, 1.0]]))), 0)
    np.testing.assert_array_equal(pixels, np.array([[np.inf, 1.0]], np.float32))


@pytest.mark.parametrize("dtype", [np.int16, np.uint16, np.float32])
def test_tile_compressed_pixels_are_those_of_the_plain_file(tmp_path: Path, dtype: type) -> None:
    values = (np.arange(64 * 64).reshape(64, 64) % 251).astype(dtype)
    lossless = {"compression_type": "GZIP_2", "quantize_level": 0.0}
    path = written(tmp_path, fits.PrimaryHDU(), fits.CompImageHDU(values, **lossless))
    with open_fits(path) as file:
        assert [(image.index, image.shape) for image in file.images] == [(1, (64, 64))]
        np.testing.assert_array_equal(read_plane(file, 1), values)


def test_gzipped_files_are_read_like_plain_ones(tmp_path: Path) -> None:
    plain = written(tmp_path, fits.PrimaryHDU(), fits.ImageHDU(PIXELS, name="SCI"))
    packed = tmp_path / "a.fits.gz"
    packed.write_bytes(gzip.compress(Path(plain).read_bytes()))
    np.testing.assert_array_equal(plane_of(str(packed), 1), PIXELS)
    with open_fits(plain) as one, open_fits(str(packed)) as other:
        assert one.blocks.digest == other.blocks.digest


def test_tables_and_empty_hdus_are_not_images(tmp_path: Path) -> None:
    table = fits.BinTableHDU.from_columns([fits.Column("a", "J", array=np.arange(3))])
    path = written(tmp_path, fits.PrimaryHDU(), table, fits.ImageHDU(PIXELS), fits.ImageHDU())
    with open_fits(path) as file:
        assert [image.index for image in file.images] == [2]


def test_an_axis_of_length_one_is_no_dimension_and_a_cube_keeps_three(tmp_path: Path) -> None:
    path = written(tmp_path, fits.PrimaryHDU(PIXELS[None]), fits.ImageHDU(np.zeros((2, 3, 4))))
    with open_fits(path) as file:
        assert [image.is_plane for image in file.images] == [True, False]
        assert read_plane(file, 0).shape == PIXELS.shape


def test_any_flag_is_bad_unless_some_are_chosen(tmp_path: Path) -> None:
    flags = np.array([[0, 1, 2], [4, 6, 8]], dtype=np.int32)
    with open_fits(written(tmp_path, fits.PrimaryHDU(flags))) as file:
        np.testing.assert_array_equal(read_flags(file, 0, None), flags != 0)
        np.testing.assert_array_equal(read_flags(file, 0, 2 | 8), [[0, 0, 1], [0, 1, 1]])
        assert not read_flags(file, 0, 0).any()


def test_unsigned_and_float_quality_planes_are_read_too(tmp_path: Path) -> None:
    unsigned = np.array([[0, 1, 2**31]], dtype=np.uint32)
    real = np.array([[0.0, 1.0, np.nan]], dtype=np.float32)
    with open_fits(written(tmp_path, fits.PrimaryHDU(unsigned), fits.ImageHDU(real))) as file:
        np.testing.assert_array_equal(read_flags(file, 0, None), [[0, 1, 1]])
        np.testing.assert_array_equal(read_flags(file, 0, 2**31), [[0, 0, 1]])
        np.testing.assert_array_equal(read_flags(file, 1, None), [[0, 1, 1]])
        np.testing.assert_array_equal(read_flags(file, 1, 2), [[0, 0, 1]])


def test_a_change_of_any_header_changes_the_digest_and_pixels_do_not(tmp_path: Path) -> None:
    def digest(pixels: np.ndarray, note: str, name: str) -> str:
        hdu = fits.ImageHDU(pixels)
        hdu.header["NOTE"] = note
        with open_fits(written(tmp_path, fits.PrimaryHDU(), hdu, name=name)) as file:
            return file.blocks.digest

    first = digest(PIXELS, "x", "1.fits")
    assert digest(PIXELS + 1, "x", "2.fits") == first
    assert digest(PIXELS, "y", "3.fits") != first


def test_byte_equal_files_and_only_they_share_a_content_digest(tmp_path: Path) -> None:
    paths = [
        written(tmp_path, fits.PrimaryHDU(pixels), name=f"{i}.fits")
        for i, pixels in enumerate((PIXELS, PIXELS, PIXELS + 1))
    ]
    digests = [content_digest(path) for path in paths]
    assert digests[0] == digests[1] != digests[2]


# Damage: each gets its kind, one sentence with the path and what to do, and no byte is touched.


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    error = failure_of(str(tmp_path / "gone.fits"))
    assert error.kind is FailureKind.MISSING
    assert "gone.fits: the file does not exist; " in str(error)


def test_an_empty_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "a.fits").touch()
    error = failure_of(str(tmp_path / "a.fits"))
    assert error.kind is FailureKind.EMPTY and "0 bytes" in str(error)


def test_a_file_that_is_not_fits_is_unreadable(tmp_path: Path) -> None:
    (tmp_path / "a.fits").write_text("just a note\n" * 400)
    assert failure_of(str(tmp_path / "a.fits")).kind is FailureKind.UNREADABLE


def _cut(folder: Path, keep: float, *, packed: bool, compressed: bool) -> Path:
    rng = np.random.default_rng(1)
    values = rng.integers(0, 2**15, (200, 200)).astype(np.int16)
    image = fits.CompImageHDU(values) if compressed else fits.ImageHDU(values)
    whole = Path(written(folder, fits.PrimaryHDU(), image)).read_bytes()
    whole = gzip.compress(whole) if packed else whole
    path = folder / ("cut.fits.gz" if packed else "cut.fits")
    path.write_bytes(whole[: int(len(whole) * keep)])
    return path


@pytest.mark.parametrize("keep", [0.02, 0.05, 0.5, 0.96])
@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("compressed", [False, True])
def test_a_file_cut_short_is_unreadable_before_its_pixels_are_read(
    tmp_path: Path, keep: float, packed: bool, compressed: bool
) -> None:
    path = _cut(tmp_path, keep, packed=packed, compressed=compressed)
    before = path.read_bytes()
    error = failure_of(str(path))
    assert error.kind is FailureKind.UNREADABLE
    assert str(path) in str(error) and "copy the file again" in str(error)
    assert path.read_bytes() == before


def test_a_file_without_its_last_padding_or_with_stray_bytes_is_complete(tmp_path: Path) -> None:
    whole = Path(written(tmp_path, fits.PrimaryHDU(PIXELS))).read_bytes()
    bare, longer = tmp_path / "bare.fits", tmp_path / "longer.fits"
    bare.write_bytes(whole[: 2880 + PIXELS.nbytes])
    longer.write_bytes(whole + b"\0" * 100)
    np.testing.assert_array_equal(plane_of(str(bare), 0), PIXELS)
    np.testing.assert_array_equal(plane_of(str(longer), 0), PIXELS)


def test_a_gzip_of_two_members_is_complete(tmp_path: Path) -> None:
    whole = Path(written(tmp_path, fits.PrimaryHDU(PIXELS))).read_bytes()
    path = tmp_path / "two.fits.gz"
    path.write_bytes(gzip.compress(whole[:3000]) + gzip.compress(whole[3000:]))
    np.testing.assert_array_equal(plane_of(str(path), 0), PIXELS)
