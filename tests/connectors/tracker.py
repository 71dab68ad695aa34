"""A Roundup tracker of the classic template in a folder of its own, served on a free loopback port, which it prints first."""

import os
import sys
from socketserver import ThreadingMixIn
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from roundup import configuration, init, instance, password
from roundup.cgi.wsgi_handler import RequestDispatcher

home, secret = sys.argv[1:]


class Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class Quiet(WSGIRequestHandler):
    def log_message(self, *_):
        pass


init.install(home, os.path.join(sys.prefix, "share/roundup/templates/classic"))
server = make_server("127.0.0.1", 0, None, Server, Quiet)
config = configuration.CoreConfig()
config["TRACKER_HOME"] = home
config["TRACKER_WEB"] = f"http://127.0.0.1:{server.server_port}/"
config["MAIL_DOMAIN"] = "tracker.example"
config["MAIL_HOST"] = "localhost"
config["MAIL_DEBUG"] = os.path.join(home, "mail.txt")
config["RDBMS_BACKEND"] = "sqlite"
config.save(os.path.join(home, "config.ini"))
tracker = instance.open(home)
tracker.init(password.Password(secret, config=tracker.config))
server.set_app(RequestDispatcher(home))
print(server.server_port, flush=True)
server.serve_forever()
