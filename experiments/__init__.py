"""One module per question: a frozen `Config`, its `PROFILES`, and a pure `run(config, progress)`.

`python -m experiments --list` shows them; README.md in this folder says how to write one.
"""

import os

# Sweeps run one process per core. A second BLAS thread inside each makes small-block loops 40-400x slower,
# and the variables are read when numpy and torch are first imported: hence here, before anything else.
for _variable in ("OPENBLAS_NUM_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ.setdefault(_variable, "1")
