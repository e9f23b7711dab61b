"""The OpenAI Realtime protocol from the server's side: pure, without sockets, clocks or chance."""
