"""Code that only the 2.x tools need. Their public modules are ``multicast.{send,recv,hear,skt,env}``."""
