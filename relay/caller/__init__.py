"""The WebRTC client of `icelane call`: places a call and accounts for every packet."""
