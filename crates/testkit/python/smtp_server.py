"""A mail server for tests. Writes each message to a folder and says so by a line; anything else it says is for a failing test.

usage: smtp_server.py FOLDER plain|starttls|implicit CERTIFICATE KEY [--login NAME PASSWORD] [--refuse CODE]
"""

import argparse
import asyncio
import pathlib
import ssl

from aiosmtpd.smtp import SMTP, AuthResult, LoginPassword


class Mailbox:
    def __init__(self, folder, refuse):
        self.folder = pathlib.Path(folder)
        self.refuse = refuse

    async def handle_RCPT(self, server, session, envelope, address, options):
        if self.refuse:
            return f"{self.refuse} not now, not here"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        number = len(list(self.folder.iterdir())) + 1
        over_tls = "yes" if session.ssl is not None else "no"
        head = [envelope.mail_from, ",".join(envelope.rcpt_tos), over_tls]
        path = self.folder / f"{number}.mail"
        path.write_bytes("\n".join(head).encode() + b"\n" + envelope.original_content)
        print(path, flush=True)
        return "250 taken"


class Server(SMTP):
    """Knows a session that is encrypted from its first byte as encrypted."""

    def connection_made(self, transport):
        super().connection_made(transport)
        if transport.get_extra_info("sslcontext") is not None:
            self.session.ssl = {"implicit": True}


async def main(options):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(options.certificate, options.key)

    def authenticator(server, session, envelope, mechanism, data):
        good = (
            isinstance(data, LoginPassword)
            and data.login.decode() == options.login[0]
            and data.password.decode() == options.login[1]
        )
        return AuthResult(success=good, handled=good)

    def server():
        return Server(
            Mailbox(options.folder, options.refuse),
            hostname="mail.test",
            tls_context=context if options.mode == "starttls" else None,
            require_starttls=options.mode == "starttls",
            authenticator=authenticator if options.login else None,
            auth_required=bool(options.login),
            auth_require_tls=options.mode == "starttls",
        )

    listening = await asyncio.get_running_loop().create_server(
        server, "127.0.0.1", 0, ssl=context if options.mode == "implicit" else None
    )
    print(listening.sockets[0].getsockname()[1], flush=True)
    await listening.serve_forever()


parser = argparse.ArgumentParser()
parser.add_argument("folder")
parser.add_argument("mode", choices=["plain", "starttls", "implicit"])
parser.add_argument("certificate")
parser.add_argument("key")
parser.add_argument("--login", nargs=2)
parser.add_argument("--refuse")
asyncio.run(main(parser.parse_args()))
