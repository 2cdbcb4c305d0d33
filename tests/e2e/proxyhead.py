"""Headers of the PROXY protocol, made by hand."""
import ipaddress
import struct

SIGNATURE = b"\r\n\r\n\0\r\nQUIT\n"
LOCAL, PROXY = 0x20, 0x21
UNSPEC, TCP4, UDP4, TCP6, UNIX = 0x00, 0x11, 0x12, 0x21, 0x31


def v1(src="192.0.2.7", dst="127.0.0.1", sport=56324, dport=8080):
    family = 6 if ":" in src else 4
    if family == 6 and ":" not in dst:
        dst = "::1"
    return f"PROXY TCP{family} {src} {dst} {sport} {dport}\r\n".encode()


def head(command, family, rest=b""):
    return SIGNATURE + bytes([command, family]) + \
        struct.pack("!H", len(rest)) + rest


def tlv(kind, value=b""):
    return bytes([kind]) + struct.pack("!H", len(value)) + value


def v2(src="192.0.2.7", dst="127.0.0.1", sport=56324, dport=8080, tlvs=b""):
    ip = ipaddress.ip_address(src)
    if ip.version == 6 and ":" not in dst:
        dst = "::1"
    return head(PROXY, TCP6 if ip.version == 6 else TCP4,
                ip.packed + ipaddress.ip_address(dst).packed +
                struct.pack("!HH", sport, dport) + tlvs)


OVER_TLS = tlv(0x20, b"\x01\0\0\0\0" + tlv(0x21, b"TLSv1.3"))
