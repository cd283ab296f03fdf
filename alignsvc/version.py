"""The version of the package: one string, read by the build, written into headers."""

VERSION = "0.1.0"
