"""The end of a run: its last mosaic, corrected headers, tables and the report.

`finish` does it in order; `headers` writes corrections into files, `mosaic_facts` what the mosaic's
header says, `finished` reads the result of a run that ended before. Start with `finish`.
"""
