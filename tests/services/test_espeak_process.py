import subprocess
import sys

import pytest

from offhook.services import espeak

pytestmark = pytest.mark.skipif(
    not espeak.is_installed(), reason="the demo extra (espeakng-loader) is not installed"
)


def run(*arguments: str, text: bytes = b"hello") -> subprocess.CompletedProcess:
    command = [sys.executable, "-P", "-m", "offhook.services.espeak_process", *arguments]
    return subprocess.run(command, input=text, capture_output=True, timeout=10, check=False)


def test_it_says_the_rate_and_then_the_samples():
    done = run()
    assert (done.returncode, done.stderr) == (0, b"")
    assert int.from_bytes(done.stdout[:4], "little") == 22050
    assert len(done.stdout) > 4 + 11025
    assert len(done.stdout) % 2 == 0


@pytest.mark.parametrize("text", [b"", b"   ", b"\xff\xfe\x00", "Grüße, 你好 😀".encode()])
def test_any_text_will_do(text):
    done = run(text=text)
    assert (done.returncode, done.stderr) == (0, b"")


def test_it_fails_in_words():
    done = run("xx-none")
    assert (done.returncode, done.stderr) == (1, b"eSpeak NG has no voice 'xx-none'\n")


def test_it_stops_when_nobody_listens_any_more():
    command = [sys.executable, "-P", "-m", "offhook.services.espeak_process"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        process.stdin.write(b"a long text " * 5000)
        process.stdin.close()
        assert len(process.stdout.read(1000)) == 1000
        process.stdout.close()
        process.wait(timeout=5)


def test_without_the_package_it_says_so():
    program = (
        "import sys; sys.modules['espeakng_loader'] = None; sys.argv = ['x'];"
        "from offhook.services.espeak_process import main; main()"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], input=b"", capture_output=True, timeout=10, check=False
    )
    assert (done.returncode, done.stderr) == (1, b"espeakng-loader is not installed\n")
