"""What `import oscaxr` costs, against `import xarray`."""

from task import Case, Work, in_fresh_process, task

IMPORT = """
import json, sys, time
start = time.perf_counter()
__import__(sys.argv[1])
print(json.dumps(time.perf_counter() - start))
"""


@task("import oscaxr", "import", ("-",), memory=False)
def importing(case: Case) -> Work:
    return Work(
        lambda: in_fresh_process(IMPORT, "oscaxr"),
        lambda: in_fresh_process(IMPORT, "xarray"),
        times_itself=True,
    )
