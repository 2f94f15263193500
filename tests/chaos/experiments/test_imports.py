import subprocess
import sys


def test_what_only_some_experiments_need_is_loaded_late() -> None:
    code = (
        "import sys, iskra_chaos.experiments.runner, iskra_chaos.experiments.probes;"
        "import iskra_chaos.experiments.reports.report;"
        "print([name for name in ('matplotlib', 'numpy', 'yaml', 'jsonpath', 'iskra') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "[]\n"


def test_the_shipped_experiments_are_read_without_the_extra() -> None:
    code = (
        "import sys; sys.modules['matplotlib'] = None;"
        "from iskra_chaos.experiments.files.document import Experiment;"
        "from iskra_chaos.experiments.program import SHIPPED, main;"
        "[Experiment.from_file(path) for path in SHIPPED.glob('*.yaml')]; sys.exit(main(['list']))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert len(done.stdout.splitlines()) == 11
    assert done.stdout.startswith("r1-")
