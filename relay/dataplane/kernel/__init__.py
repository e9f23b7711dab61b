"""The kernel's part of the XDP dataplane: bpf(2), pins, type information, loading, attaching."""
