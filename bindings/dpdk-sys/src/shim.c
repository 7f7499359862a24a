#include "shim.h"

#include <assert.h>
#include <stddef.h>
#include <string.h>

#define AT(field, offset) \
	static_assert(offsetof(struct rte_mbuf, field) == (offset), "rte_mbuf." #field " has moved")

static_assert(sizeof(struct rte_mbuf) == SHIM_MBUF_SIZE, "rte_mbuf has another size");
AT(buf_addr, SHIM_MBUF_BUF_ADDR);
AT(data_off, SHIM_MBUF_DATA_OFF);
AT(refcnt, SHIM_MBUF_REFCNT);
AT(nb_segs, SHIM_MBUF_NB_SEGS);
AT(ol_flags, SHIM_MBUF_OL_FLAGS);
AT(pkt_len, SHIM_MBUF_PKT_LEN);
AT(data_len, SHIM_MBUF_DATA_LEN);
AT(vlan_tci, SHIM_MBUF_VLAN_TCI);
AT(hash, SHIM_MBUF_HASH);
AT(buf_len, SHIM_MBUF_BUF_LEN);
AT(next, SHIM_MBUF_NEXT);
AT(tx_offload, SHIM_MBUF_TX_OFFLOAD);

int shim_errno(void)
{
	return rte_errno;
}

uint32_t shim_lcore_id(void)
{
	return rte_lcore_id();
}

uint64_t shim_tsc(void)
{
	return rte_rdtsc();
}

uint16_t shim_rx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return rte_eth_rx_burst(port, queue, packets, count);
}

uint16_t shim_tx_burst(uint16_t port, uint16_t queue, struct rte_mbuf **packets, uint16_t count)
{
	return rte_eth_tx_burst(port, queue, packets, count);
}

/*
 * By default no buffer crosses a page, for devices that are given physical addresses. With pages
 * of 4 KiB that leaves one buffer in each, all at the same offset: they fight for the same few
 * sets of the first-level cache, and allocating costs several times as much. Where devices are
 * given virtual addresses, there is no need for it.
 */
static unsigned int packing_flags(void)
{
	return rte_eal_iova_mode() == RTE_IOVA_VA ? RTE_MEMPOOL_F_NO_IOVA_CONTIG : 0;
}

struct rte_mempool *shim_pktmbuf_pool_create(const char *name, uint32_t count, uint32_t cache,
					     uint16_t data_room, int socket)
{
	struct rte_pktmbuf_pool_private private = {.mbuf_data_room_size = data_room};
	struct rte_mempool *pool;
	int code;

	pool = rte_mempool_create_empty(name, count, sizeof(struct rte_mbuf) + data_room, cache,
					sizeof(private), socket, packing_flags());
	if (pool == NULL)
		return NULL;
	code = rte_mempool_set_ops_byname(pool, rte_mbuf_best_mempool_ops(), NULL);
	if (code == 0) {
		rte_pktmbuf_pool_init(pool, &private);
		code = rte_mempool_populate_default(pool);
	}
	if (code < 0) {
		rte_mempool_free(pool);
		rte_errno = -code;
		return NULL;
	}
	rte_mempool_obj_iter(pool, rte_pktmbuf_init, NULL);
	return pool;
}

struct rte_mbuf *shim_pktmbuf_alloc(struct rte_mempool *pool, uint16_t headroom)
{
	struct rte_mbuf *packet = rte_pktmbuf_alloc(pool);

	if (packet != NULL)
		packet->data_off = headroom;
	return packet;
}

bool shim_pktmbuf_alloc_bulk(struct rte_mempool *pool, struct rte_mbuf **packets, uint32_t count,
			     uint16_t headroom)
{
	if (rte_pktmbuf_alloc_bulk(pool, packets, count) != 0)
		return false;
	for (uint32_t i = 0; i < count; i++)
		packets[i]->data_off = headroom;
	return true;
}

void shim_pktmbuf_free(struct rte_mbuf *packet)
{
	rte_pktmbuf_free(packet);
}

/*
 * Whether it is one buffer, which nobody else refers to: its pool takes it back as it is. Both
 * counts lie side by side, and are looked at together.
 */
static bool is_alone(const struct rte_mbuf *packet)
{
	static const uint16_t one_each[] = {1, 1};

	static_assert(offsetof(struct rte_mbuf, nb_segs) ==
			      offsetof(struct rte_mbuf, refcnt) + sizeof(uint16_t),
		      "rte_mbuf.nb_segs is not behind rte_mbuf.refcnt");
	return memcmp((const char *)packet + offsetof(struct rte_mbuf, refcnt), one_each,
		      sizeof(one_each)) == 0 &&
	       RTE_MBUF_DIRECT(packet);
}

/*
 * rte_pktmbuf_free_bulk() looks at the second cache line of each packet, and copies what it frees
 * to an array of its own. Nearly all packets need neither.
 */
void shim_pktmbuf_free_bulk(struct rte_mbuf **packets, uint32_t count)
{
	struct rte_mbuf **end = packets + count;

	while (packets < end) {
		struct rte_mbuf **first = packets;
		struct rte_mempool *pool = (*first)->pool;

		while (packets < end && (*packets)->pool == pool && is_alone(*packets))
			packets++;
		if (packets > first) {
			rte_mempool_put_bulk(pool, (void **)first, packets - first);
			continue;
		}
		while (packets < end && !is_alone(*packets))
			packets++;
		rte_pktmbuf_free_bulk(first, packets - first);
	}
}

void shim_pktmbuf_free_seg(struct rte_mbuf *segment)
{
	rte_pktmbuf_free_seg(segment);
}

int shim_pktmbuf_linearize(struct rte_mbuf *packet)
{
	return rte_pktmbuf_linearize(packet);
}

static void flush_own_cache(struct rte_mempool *pool, void *unused)
{
	struct rte_mempool_cache *cache = rte_mempool_default_cache(pool, rte_lcore_id());

	(void)unused;
	if (cache != NULL)
		rte_mempool_cache_flush(cache, pool);
}

bool shim_mempool_settled(struct rte_mempool *pool)
{
	flush_own_cache(pool, NULL);
	if (rte_mempool_avail_count(pool) != pool->size)
		return false;
	/*
	 * A put raises the length of a cache before it writes there, so what was counted in a
	 * cache may still be on its way. An empty cache afterwards means that it was flushed.
	 */
	if (pool->cache_size == 0)
		return true;
	for (unsigned int lcore = 0; lcore < RTE_MAX_LCORE; lcore++) {
		if (__atomic_load_n(&pool->local_cache[lcore].len, __ATOMIC_ACQUIRE) != 0)
			return false;
	}
	return true;
}

void shim_mempool_flush_all(void)
{
	rte_mempool_walk(flush_own_cache, NULL);
}

uint32_t shim_ring_sp_enqueue_burst(struct rte_ring *ring, void *const *objects, uint32_t count)
{
	return rte_ring_sp_enqueue_burst(ring, objects, count, NULL);
}

uint32_t shim_ring_sc_dequeue_burst(struct rte_ring *ring, void **objects, uint32_t count)
{
	return rte_ring_sc_dequeue_burst(ring, objects, count, NULL);
}

uint32_t shim_ring_count(const struct rte_ring *ring)
{
	return rte_ring_count(ring);
}
