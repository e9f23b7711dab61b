/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Hands what comes to any upstream port to one socket of the agent.
 *
 * Each flow has an upstream port, and a relay may have more flows than a process may open sockets.
 * The kernel runs this program whenever it looks for the socket of a packet that was passed up
 * (BPF_PROG_TYPE_SK_LOOKUP, attached to the network namespace). The agent learns the port that
 * a packet was sent to by IP_RECVORIGDSTADDR.
 */
int steer(struct bpf_sk_lookup *ctx)
{
	bool ip4 = ctx->family == AF_INET;
	/*
	 * An address of the other family reads as zero. Branches would read at offsets that the
	 * compiler merges into a computed one, which the verifier refuses for a context.
	 */
	struct address local = { {
		ctx->local_ip6[0],
		ctx->local_ip6[1],
		ctx->local_ip6[2] | (ip4 ? bpf_htonl(0xffff) : 0),
		ctx->local_ip6[3] | ctx->local_ip4,
	} };
	__u32 family = ip4 ? STEER_IP4 : STEER_IP6;
	struct bpf_sock *sock;

	if (ctx->protocol != IPPROTO_UDP || !is_upstream(&local, ctx->local_port))
		return SK_PASS;
	/* A sockmap's value is a socket, with a reference that the verifier wants back. */
	sock = (struct bpf_sock *)steer_sockets.lookup(&family);
	if (!sock)
		return SK_PASS;
	/* Replaces nothing: a program of another instance that has chosen a socket keeps its say. */
	bpf_sk_assign(ctx, sock, 0);
	bpf_sk_release(sock);
	return SK_PASS;
}
