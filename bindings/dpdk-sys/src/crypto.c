#include "crypto.h"

#include <assert.h>
#include <stddef.h>

#include <rte_errno.h>

static_assert(offsetof(struct shim_crypto_op, sym) == offsetof(struct rte_crypto_op, sym),
	      "the symmetric part is not where DPDK looks for it");
static_assert(offsetof(struct shim_crypto_op, nonce) % 8 == 0, "the nonce is not aligned");
static_assert(offsetof(struct shim_crypto_op, aad) % 8 == 0, "the AAD is not aligned");

struct rte_mempool *shim_crypto_ops_create(const char *name, uint16_t count,
					   struct shim_crypto_op **ops)
{
	const uint16_t private_size =
		sizeof(struct shim_crypto_op) - offsetof(struct shim_crypto_op, nonce);
	struct rte_mempool *pool;

	pool = rte_crypto_op_pool_create(name, RTE_CRYPTO_OP_TYPE_SYMMETRIC, count, 0,
					 private_size, SOCKET_ID_ANY);
	if (pool == NULL)
		return NULL;
	if (rte_mempool_get_bulk(pool, (void **)ops, count) != 0) {
		rte_mempool_free(pool);
		rte_errno = ENOBUFS;
		return NULL;
	}
	for (uint16_t i = 0; i < count; i++) {
		struct shim_crypto_op *op = ops[i];

		__rte_crypto_op_reset(&op->op, RTE_CRYPTO_OP_TYPE_SYMMETRIC);
		op->op.sess_type = RTE_CRYPTO_OP_WITH_SESSION;
		op->sym.aead.aad.data = op->aad;
		op->sym.aead.aad.phys_addr = rte_crypto_op_ctophys_offset(
			&op->op, offsetof(struct shim_crypto_op, aad));
	}
	return pool;
}

bool shim_crypto_does_gcm(uint8_t device, uint16_t key_len, uint16_t aad_len)
{
	const struct rte_cryptodev_sym_capability_idx index = {
		.type = RTE_CRYPTO_SYM_XFORM_AEAD,
		.algo.aead = RTE_CRYPTO_AEAD_AES_GCM,
	};
	const struct rte_cryptodev_symmetric_capability *capability =
		rte_cryptodev_sym_capability_get(device, &index);

	return capability != NULL &&
	       rte_cryptodev_sym_capability_check_aead(capability, key_len, SHIM_GCM_ICV_LEN,
						       aad_len, SHIM_GCM_NONCE_LEN) == 0;
}

void *shim_crypto_session_create(uint8_t device, struct rte_mempool *pool, bool encrypt,
				 const uint8_t *key, uint16_t key_len, uint16_t aad_len)
{
	struct rte_crypto_sym_xform transform = {
		.type = RTE_CRYPTO_SYM_XFORM_AEAD,
		.aead = {
			.op = encrypt ? RTE_CRYPTO_AEAD_OP_ENCRYPT : RTE_CRYPTO_AEAD_OP_DECRYPT,
			.algo = RTE_CRYPTO_AEAD_AES_GCM,
			.key = {.data = key, .length = key_len},
			.iv = {
				.offset = offsetof(struct shim_crypto_op, nonce),
				.length = SHIM_GCM_NONCE_LEN,
			},
			.digest_length = SHIM_GCM_ICV_LEN,
			.aad_length = aad_len,
		},
	};

	return rte_cryptodev_sym_session_create(device, &transform, pool);
}

static void prepare(struct shim_crypto_op *op)
{
	struct rte_mbuf *packet = op->packet;
	const uint32_t icv = op->offset + op->length;

	op->op.status = RTE_CRYPTO_OP_STATUS_NOT_PROCESSED;
	op->sym.m_src = packet;
	op->sym.m_dst = NULL;
	op->sym.session = op->session;
	op->sym.aead.data.offset = op->offset;
	op->sym.aead.data.length = op->length;
	op->sym.aead.digest.data = rte_pktmbuf_mtod_offset(packet, uint8_t *, icv);
	op->sym.aead.digest.phys_addr = rte_pktmbuf_iova_offset(packet, icv);
}

uint16_t shim_crypto_enqueue_burst(uint8_t device, uint16_t queue, struct shim_crypto_op **ops,
				   uint16_t count)
{
	uint16_t taken;

	for (uint16_t i = 0; i < count; i++)
		prepare(ops[i]);
	taken = rte_cryptodev_enqueue_burst(device, queue, (struct rte_crypto_op **)ops, count);
	if (taken < count)
		ops[taken]->status = ops[taken]->op.status;
	return taken;
}

uint16_t shim_crypto_dequeue_burst(uint8_t device, uint16_t queue, struct shim_crypto_op **ops,
				   uint16_t count)
{
	uint16_t done;

	done = rte_cryptodev_dequeue_burst(device, queue, (struct rte_crypto_op **)ops, count);
	for (uint16_t i = 0; i < done; i++)
		ops[i]->status = ops[i]->op.status;
	return done;
}
