import os
import signal
import subprocess
import sys
import threading

import pytest

from nasjax.core import signals

NUMBERS = (signal.SIGTERM, signal.SIGINT)


@pytest.mark.parametrize("number", NUMBERS)
def test_a_signal_is_noted_and_the_old_handlers_return(number):
    before = [signal.getsignal(n) for n in NUMBERS]
    with signals.StopSignal() as stop:
        assert not stop.requested and stop.received is None
        os.kill(os.getpid(), number)
        assert stop.requested and stop.received == number
    assert [signal.getsignal(n) for n in NUMBERS] == before
    assert stop.requested


def test_a_second_interrupt_interrupts_and_the_old_handlers_return():
    before = [signal.getsignal(n) for n in NUMBERS]
    with pytest.raises(KeyboardInterrupt):
        with signals.StopSignal():
            os.kill(os.getpid(), signal.SIGINT)
            os.kill(os.getpid(), signal.SIGINT)
            pytest.fail("the second SIGINT did nothing")
    assert [signal.getsignal(n) for n in NUMBERS] == before


def test_further_terminations_only_ask_again():
    with signals.StopSignal() as stop:
        for number in (signal.SIGTERM, signal.SIGTERM, signal.SIGINT):
            os.kill(os.getpid(), number)
    assert stop.received == signal.SIGTERM


def test_off_the_main_thread_nothing_changes():
    before = [signal.getsignal(n) for n in NUMBERS]
    seen = []

    def work():
        with signals.StopSignal() as stop:
            seen.append([signal.getsignal(n) for n in NUMBERS])
            seen.append(stop.requested)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [before, False]


def test_a_terminated_process_leaves_its_loop_and_ends_well():
    program = """
import signal, time
from nasjax.core import signals
with signals.StopSignal() as stop:
    print("ready", flush=True)
    while not stop.requested:
        time.sleep(0.01)
    print("saved")
"""
    process = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "ready\n"
    process.terminate()
    assert process.communicate()[0] == "saved\n"
    assert process.returncode == 0
