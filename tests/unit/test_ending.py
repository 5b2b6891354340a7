"""How the process ends: in order, at once, in bounded time, and never with a traceback."""

import signal
import subprocess
import sys
import time

import pytest

LOADING = """
import sys
class Interrupted:
    def find_spec(self, name, path, target=None):
        if name == "connector.cli.app":
            raise KeyboardInterrupt
sys.meta_path.insert(0, Interrupted())
from connector.__main__ import main
main()
"""

RUNNING = """
import asyncio, sys, time
from connector.cli.signals import Signals
async def main():
    signals = Signals(float(sys.argv[1]))
    signals.lead_to(stop={stop}, reload=lambda: None)
    print("ready", flush=True)
    await asyncio.sleep(60)
asyncio.run(main())
"""


def test_ctrl_c_while_the_command_line_loads_is_no_traceback():
    done = subprocess.run([sys.executable, "-c", LOADING], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (130, "")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize(
    ("stop", "most", "again"),
    [("lambda: None", 0.3, False), ("lambda: time.sleep(60)", 60, True), ("lambda: None", 60, True)],
    ids=["it hangs", "the loop hangs, second signal", "second signal"],
)
def test_an_end_is_bounded_and_a_second_signal_ends_at_once(number, stop, most, again):
    program = RUNNING.replace("{stop}", stop)
    process = subprocess.Popen([sys.executable, "-c", program, str(most)], stdout=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "ready\n"
    process.send_signal(number)
    if again:
        time.sleep(0.2)
        assert process.poll() is None
        process.send_signal(number)
    assert process.wait(20) == 128 + number
    process.stdout.close()
