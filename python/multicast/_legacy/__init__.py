"""What only the 2.x tools need. Their published modules are ``multicast.{send,recv,hear,skt,env}``."""
