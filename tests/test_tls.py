"""The broker is who it says it is, or we are not let in and say why; no secret is ever told."""

import re
import ssl
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from socket import SHUT_RDWR, create_server

import pytest

from appliance import start, write_clip
from brokers import Mosquitto, prepared_mosquitto
from bundles import make_bundle
from certificates import Authority, Certificate
from edge_pose.address import Broker
from edge_pose.errors import ConfigError
from edge_pose.mqtt import Link, Received, Subscription
from edge_pose.mqtt.reasons import plain_reason

# The client leaves the socket of a failed handshake to the garbage collector.
pytestmark = pytest.mark.filterwarnings(
    "ignore:.*SSLSocket:pytest.PytestUnraisableExceptionWarning"
)
WANTS_CERTIFICATES = "require_certificate true"


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_bundle(tmp_path_factory.mktemp("bundle"))


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    return Authority(tmp_path)


@contextmanager
def secured(folder: Path, own: Certificate, *settings: str) -> Iterator[Mosquitto]:
    files = [f"certfile {own.cert}", f"keyfile {own.key}"]
    mosquitto = prepared_mosquitto(folder, *files, "allow_anonymous true", *settings)
    mosquitto.start()
    try:
        yield mosquitto
    finally:
        mosquitto.stop()


def first_answer(broker: Broker) -> Link:
    subscription = Subscription(broker, [])
    try:
        answer = subscription.receive()
    finally:
        subscription.close()
    assert isinstance(answer, Link)
    return answer


def refused(broker: Broker) -> str:
    answer = first_answer(broker)
    assert not answer.up
    assert "\n" not in answer.reason
    return answer.reason


def test_a_certificate_of_an_authority_that_we_know_is_believed(
    authority: Authority, tmp_path: Path
) -> None:
    with secured(tmp_path, authority.sign("server")) as mosquitto:
        assert first_answer(replace(mosquitto.broker, tls=True, ca_file=authority.cert)).up


def test_an_authority_that_we_do_not_know_is_refused(authority: Authority, tmp_path: Path) -> None:
    with secured(tmp_path, authority.sign("server")) as mosquitto:
        broker = replace(mosquitto.broker, tls=True)
        assert "signed by nobody whom we trust" in refused(broker)
        other = Authority(tmp_path, "other")
        assert "signed by nobody whom we trust" in refused(replace(broker, ca_file=other.cert))


@pytest.mark.parametrize(
    ("sign", "sentence"),
    [
        (lambda who: who.sign("server", days_left=0), "has expired or is not valid yet"),
        (lambda who: who.sign("server", "broker.example"), "is for another name"),
    ],
)
def test_a_certificate_that_is_out_of_date_or_of_somebody_else_is_refused(
    authority: Authority,
    tmp_path: Path,
    sign: Callable[[Authority], Certificate],
    sentence: str,
) -> None:
    with secured(tmp_path, sign(authority)) as mosquitto:
        assert sentence in refused(replace(mosquitto.broker, tls=True, ca_file=authority.cert))


@pytest.mark.parametrize("version", ["", "tls_version tlsv1.2"])
def test_a_broker_that_wants_our_certificate_gets_it_or_we_say_that_it_does(
    authority: Authority, tmp_path: Path, version: str
) -> None:
    server, ours = authority.sign("server"), authority.sign("ours", "edge-7")
    stranger = Authority(tmp_path, "other").sign("stranger", "edge-7")
    trusts = [f"cafile {authority.cert}", WANTS_CERTIFICATES, *version.splitlines()]
    with secured(tmp_path, server, *trusts) as mosquitto:
        broker = replace(mosquitto.broker, tls=True, ca_file=authority.cert)
        assert "wants a certificate from us" in refused(broker)
        foreign = replace(broker, cert_file=stranger.cert, key_file=stranger.key)
        assert "does not trust our certificate" in refused(foreign)
        assert first_answer(replace(broker, cert_file=ours.cert, key_file=ours.key)).up


def test_a_port_without_tls_and_a_port_with_it_are_told_apart(
    authority: Authority, tmp_path: Path
) -> None:
    with secured(tmp_path, authority.sign("server")) as mosquitto:
        assert "a port with TLS wants mqtts://" in refused(mosquitto.broker)
    plain = prepared_mosquitto(tmp_path)
    plain.start()
    try:
        assert "mqtts:// wants a port with TLS" in refused(replace(plain.broker, tls=True))
    finally:
        plain.stop()


@contextmanager
def tls_1_1_only(own: Certificate) -> Iterator[int]:
    """Listen with a TLS that nobody should take any more."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(own.cert, own.key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    context.minimum_version = context.maximum_version = ssl.TLSVersion.TLSv1_1

    def serve() -> None:
        while True:
            try:
                arrived, _ = listener.accept()
            except OSError:
                return
            with arrived, suppress(ssl.SSLError):
                context.wrap_socket(arrived, server_side=True).close()

    with create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            listener.shutdown(SHUT_RDWR)
    thread.join()


@pytest.mark.filterwarnings("ignore:ssl.TLSVersion.TLSv1_1 is deprecated:DeprecationWarning")
def test_a_tls_that_is_no_longer_safe_is_refused(authority: Authority) -> None:
    with tls_1_1_only(authority.sign("server")) as port:
        broker = Broker(host="127.0.0.1", port=port, tls=True, ca_file=authority.cert)
        assert "it must speak 1.2 or 1.3" in refused(broker)


def test_a_key_with_a_passphrase_is_refused_and_nobody_is_asked(
    authority: Authority, tmp_path: Path
) -> None:
    ours = authority.sign("ours")
    locked = tmp_path / "locked.key"
    lock = ["-aes256", "-passout", "pass:x"]
    convert: list[str | Path] = ["openssl", "ec", "-in", ours.key, *lock, "-out", locked]
    subprocess.run(convert, check=True, capture_output=True)
    broker = Broker(
        host="127.0.0.1", tls=True, ca_file=authority.cert, cert_file=ours.cert, key_file=locked
    )
    with pytest.raises(ConfigError, match=r"TLS files .*locked\.key.*cannot be used"):
        Subscription(broker, [])


def test_what_is_not_about_tls_stays_as_it_is() -> None:
    said = "[Errno 111] Connection refused"
    assert plain_reason(said, tls=True, was_up=False) == said
    assert plain_reason("Unspecified error", tls=False, was_up=True) == "Unspecified error"


def test_recording_and_check_end_with_78_where_a_camera_goes_on_trying(
    authority: Authority, tmp_path: Path, bundle: Path
) -> None:
    clip = write_clip(tmp_path / "walking.avi", frames=600, fps=10.0)
    with secured(tmp_path, authority.sign("server")) as mosquitto:
        broker = f"mqtts://127.0.0.1:{mosquitto.broker.port}"
        words: list[str | Path] = [clip, "--bundle", bundle, "--broker", broker]
        with start("run", *words) as child:
            _, err = child.communicate(timeout=60)
        assert child.returncode == 78
        assert "signed by nobody whom we trust" in err
        with start("check", *words) as child:
            out, err = child.communicate(timeout=60)
        assert child.returncode == 78
        assert re.search("FAIL +broker .* signed by nobody whom we trust", out)
        with start("run", *words, "--realtime") as child:
            assert child.stderr is not None
            lines = iter(child.stderr.readline, "")
            assert any("nobody whom we trust; name" in line and "trying" in line for line in lines)
            time.sleep(2.0)
            assert child.poll() is None
            child.terminate()
            _, more = child.communicate(timeout=60)
        assert child.returncode == 0
        for text in (err, more):
            assert "Traceback" not in text
        environ = {"EDGE_POSE_MQTT_CA_FILE": str(authority.cert)}
        with start("check", *words, environ=environ) as child:
            out, _ = child.communicate(timeout=60)
        assert child.returncode == 0, out
        assert re.search("ok +broker .* lets us in", out)


def test_no_secret_is_told_at_any_level_of_the_log(
    authority: Authority, tmp_path: Path, bundle: Path
) -> None:
    """Neither in the log, nor on the command line, nor on the wire, nor by `edge-pose config`."""
    users = tmp_path / "users"
    create: list[str | Path] = ["mosquitto_passwd", "-b", "-c", users, "line", "hush-broker"]
    subprocess.run(create, check=True)
    users.chmod(0o644)
    secret = tmp_path / "secret"
    secret.write_text("hush-broker\n")
    settings = tmp_path / "line.toml"
    with secured(
        tmp_path, authority.sign("server"), f"password_file {users}", "allow_anonymous false"
    ) as mosquitto:
        settings.write_text(
            '[camera]\nsource = "rtsp://eve:hush-camera@127.0.0.1:9/s?password=hush-query"\n'
            f'wait = true\n[model]\nbundle = "{bundle}"\n[device]\nlog = "debug"\n'
            f'[mqtt]\nbroker = "mqtts://127.0.0.1:{mosquitto.broker.port}"\nusername = "line"\n'
            f'password_file = "{secret}"\nca_file = "{authority.cert}"\n'
        )
        told = ""
        with start("run", "--config", settings, "--output", "jsonl") as child:
            assert child.stderr is not None
            for line in iter(child.stderr.readline, ""):
                told += line
                if "cannot be reached" in line:
                    break
            assert "hush" not in Path(f"/proc/{child.pid}/cmdline").read_text()
            child.terminate()
            out, err = child.communicate(timeout=60)
            told += out + err
        assert "Sending CONNECT" in told, "the log must be as loud as it gets"
        with start("config", "--config", settings) as child:
            told += "".join(child.communicate(timeout=60))
        secret.write_text("hush-wrong\n")
        with start("check", "--config", settings) as child:
            told += "".join(child.communicate(timeout=60))
    assert "Not authorized" in told
    assert "rtsp://***@127.0.0.1:9/s?password=***" in told
    assert "hush" not in told
    assert "eve" not in re.sub("[a-z]eve|eve[a-z]", "", told)


def test_a_password_in_the_address_of_a_broker_is_refused_and_not_repeated(tmp_path: Path) -> None:
    settings = tmp_path / "line.toml"
    settings.write_text('[mqtt]\nbroker = "mqtts://line:hush@broker.example"\n')
    with start("config", "--config", settings) as child:
        told = "".join(child.communicate(timeout=60))
    assert child.returncode == 78
    assert "contains a password" in told
    assert "hush" not in told


def test_what_others_publish_over_tls_is_heard(authority: Authority, tmp_path: Path) -> None:
    with secured(tmp_path, authority.sign("server")) as mosquitto:
        broker = replace(mosquitto.broker, tls=True, ca_file=authority.cert)
        subscription = Subscription(broker, ["x/y"])
        try:
            assert subscription.receive() == Link(up=True, reason="Success")
            where = ["-h", broker.host, "-p", str(broker.port), "--cafile", str(authority.cert)]
            publish = ["mosquitto_pub", *where, "-t", "x/y", "-m", "hello", "-r"]
            subprocess.run(publish, check=True)
            heard = subscription.receive()
        finally:
            subscription.close()
    assert isinstance(heard, Received)
    assert heard.payload == b"hello"
