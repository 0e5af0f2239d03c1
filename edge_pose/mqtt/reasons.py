"""Why a connection did not come about: what the TLS library says comes in, what to do comes out."""

from typing import Final

_MEANINGS: Final = {
    (
        "certificate verify failed: the broker's certificate is signed by nobody whom we trust; "
        "name the certificate of its authority in mqtt.ca_file"
    ): ("unable to get local issuer", "self-signed certificate", "self signed certificate"),
    (
        "certificate verify failed: the broker's certificate has expired or is not valid yet; "
        "renew it, or set the clock of this machine"
    ): ("failed: certificate has expired", "failed: certificate is not yet valid"),
    (
        "certificate verify failed: the broker's certificate is for another name; write that name "
        "in mqtt.broker, or have a certificate made for this one"
    ): ("mismatch",),
    (
        "the broker wants a certificate from us; name one in mqtt.cert_file and its key in "
        "mqtt.key_file"
    ): ("certificate required", "handshake failure"),
    (
        "the broker does not trust our certificate, mqtt.cert_file; have it signed by an authority "
        "that the broker knows"
    ): ("alert unknown ca", "alert bad certificate", "alert certificate", "alert unsupported cert"),
    "the broker speaks no TLS that is still safe; it must speak 1.2 or 1.3": (
        "unsupported protocol",
        "protocol version",
        "no protocols available",
    ),
    "something at this port does not speak TLS as it should; mqtts:// wants a port with TLS": (
        "wrong version number",
        "record layer failure",
        "unexpected eof",
        "http request",
    ),
}
"""What we say, for what OpenSSL says in any of its versions, in lower case."""
_CLOSED: Final = ("reset by peer", "unspecified error", "broken pipe")
_BROKEN: Final = "failed to receive on socket: "
"""How a line of the client's log begins that tells why a connection broke."""


class Trouble:
    """Follows one client, and tells why it has no connection."""

    def __init__(self, *, tls: bool) -> None:
        self._tls = tls
        self._was_up = False
        self._broken = ""

    def answered(self, *, up: bool) -> None:
        """Note that the broker let us in or did not."""
        self._was_up = self._was_up or up

    def logged(self, text: str) -> None:
        """Note why a socket broke, such as a certificate that the broker missed: only here."""
        if text.startswith(_BROKEN):
            self._broken = text[len(_BROKEN) :]

    def told(self, said: str) -> str:
        """Give the reason for the connection that is away now."""
        said, self._broken = self._broken or said, ""
        return plain_reason(said, tls=self._tls, was_up=self._was_up)


def plain_reason(said: str, *, tls: bool, was_up: bool) -> str:
    """Turn what was said into one clause; what is not about TLS stays as it is.

    `was_up` tells that this address has let us in before, so that nothing is wrong with the
    settings.
    """
    lower = said.lower()
    for meaning, fragments in _MEANINGS.items():
        if any(fragment in lower for fragment in fragments):
            return meaning
    if not was_up and any(fragment in lower for fragment in _CLOSED):
        hint = "mqtts:// wants a port with TLS" if tls else "a port with TLS wants mqtts://"
        return f"the connection was closed before the broker answered ({said}); {hint}"
    return said
