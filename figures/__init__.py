"""One module per figure: `EXPERIMENT`, `SIZE`, a pure `draw(fig, result)` and `caption(result, meta)`.

`python -m figures --list` shows them; experiments/README.md says how to write one.
"""

import experiments  # noqa: F401  # pins one BLAS thread before numpy is imported
