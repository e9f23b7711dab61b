"""Speech over a network that loses and delays packets: this playout beside libwebrtc's NetEQ."""
