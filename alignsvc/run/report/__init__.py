"""What a run tells people at its end: summaries, JSON, and the HTML page.

`contents` is all that a report says, `pages` writes it as ``report.json`` and as a page, made of
`sections`; `summary` is what the command line prints. The others are its parts: residuals, pulls,
needs, reasons, trust. Start with `contents`.
"""
