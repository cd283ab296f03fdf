"""Pure functions of arrays: no files, no engine, no clock, no logging."""
