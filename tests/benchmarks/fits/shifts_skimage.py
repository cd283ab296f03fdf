"""Shifts of exposures against the first of them by scikit-image's phase correlation, as JSON."""

import json
import sys
import warnings

import numpy as np
from astropy.io import fits
from astropy.wcs import WCS
from reproject import reproject_interp
from skimage.registration import phase_cross_correlation


def image_of(path):
    with fits.open(path, memmap=False) as hdus:
        image = next(hdu for hdu in hdus if hdu.header.get("CTYPE1"))
        pixels = np.asarray(image.data, np.float32)
        return pixels - np.median(pixels), WCS(image.header)


def main(first, *others):
    reference, wcs = image_of(first)
    shifts = {}
    for path in others:
        onto, seen = reproject_interp(image_of(path), wcs, shape_out=reference.shape)
        common = seen > 0
        found, _, _ = phase_cross_correlation(
            np.where(common, reference, 0), np.where(common, np.nan_to_num(onto), 0),
            upsample_factor=100,
        )  # fmt: skip
        shifts[path] = [float(found[1]), float(found[0])]
    print(json.dumps(shifts))


if __name__ == "__main__":
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        main(*sys.argv[1:])
