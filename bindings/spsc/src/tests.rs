//! One model against a queue; ownership of what is dropped; two threads; every interleaving under
//! loom.

#[cfg(not(loom))]
mod model {
    use std::collections::VecDeque;
    use std::sync::Arc;

    use proptest::prelude::*;

    use crate::{channel, starting_at};

    #[derive(Debug, Clone)]
    enum Step {
        Push,
        Pop,
        PushBatch(usize),
        PopBatch(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            Just(Step::Push),
            Just(Step::Pop),
            (0..20usize).prop_map(Step::PushBatch),
            (0..20usize).prop_map(Step::PopBatch),
        ]
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(if cfg!(miri) { 8 } else { 512 }))]

        /// Any sequence of operations does what a bounded queue does, also where cursors wrap, and
        /// nothing is lost or freed twice: each item is held by exactly one side.
        #[test]
        fn behaves_as_a_bounded_queue(
            wanted in 1..20usize,
            before_wrap in 0..40usize,
            steps in prop::collection::vec(step(), 0..80),
        ) {
            let capacity = wanted.next_power_of_two();
            let (mut producer, mut consumer) =
                starting_at(wanted, 0usize.wrapping_sub(before_wrap));
            let mut queue = VecDeque::new();
            let mut made = Vec::new();
            let mut make = || {
                made.push(Arc::new(made.len()));
                Arc::clone(&made[made.len() - 1])
            };
            for step in steps {
                match step {
                    Step::Push => {
                        let item = make();
                        match producer.push(Arc::clone(&item)) {
                            Ok(()) => queue.push_back(item),
                            Err(back) => {
                                prop_assert!(Arc::ptr_eq(&back, &item));
                                prop_assert_eq!(queue.len(), capacity);
                            }
                        }
                    }
                    Step::Pop => prop_assert_eq!(consumer.pop(), queue.pop_front()),
                    Step::PushBatch(count) => {
                        let mut items: Vec<_> = (0..count).map(|_| make()).collect();
                        let all = items.clone();
                        let pushed = producer.push_batch(&mut items);
                        prop_assert_eq!(pushed, count.min(capacity - queue.len()));
                        prop_assert_eq!(&items, &all[pushed..]);
                        queue.extend(all.into_iter().take(pushed));
                    }
                    Step::PopBatch(max) => {
                        let kept = Arc::new(usize::MAX);
                        let mut items = vec![kept];
                        let popped = consumer.pop_batch(&mut items, max);
                        prop_assert_eq!(popped, max.min(queue.len()));
                        let expected: Vec<_> = queue.drain(..popped).collect();
                        prop_assert_eq!(&items[1..], &expected[..]);
                    }
                }
                prop_assert_eq!(producer.len(), queue.len());
                prop_assert_eq!(consumer.len(), queue.len());
                prop_assert_eq!(producer.is_empty(), queue.is_empty());
                prop_assert_eq!(consumer.is_empty(), queue.is_empty());
            }
            drop((producer, consumer, queue));
            prop_assert!(made.iter().all(|item| Arc::strong_count(item) == 1));
        }
    }

    #[test]
    fn what_is_left_is_dropped_with_the_second_end() {
        for producer_first in [true, false] {
            let item = Arc::new(());
            let (mut producer, mut consumer) = channel(4);
            // Across the end of the slots: two pushed and popped, then three left.
            for _ in 0..2 {
                assert!(producer.push(Arc::clone(&item)).is_ok());
                assert!(consumer.pop().is_some());
            }
            assert_eq!(producer.push_batch(&mut vec![Arc::clone(&item); 3]), 3);
            if producer_first {
                drop(producer);
                assert_eq!(Arc::strong_count(&item), 4, "the consumer may still take them");
                assert!(consumer.pop().is_some());
                drop(consumer);
            } else {
                drop(consumer);
                assert!(producer.push(Arc::clone(&item)).is_ok(), "nobody tells the producer");
                drop(producer);
            }
            assert_eq!(Arc::strong_count(&item), 1);
        }
    }

    #[test]
    fn items_without_size_are_counted() {
        let (mut producer, mut consumer) = channel(2);
        assert_eq!(producer.push_batch(&mut vec![(); 3]), 2);
        assert_eq!(consumer.pop_batch(&mut Vec::new(), 5), 2);
    }

    #[test]
    fn two_threads_keep_order() {
        let total = if cfg!(miri) { 200 } else { 200_000u64 };
        let (mut producer, mut consumer) = channel(64);
        let sender = std::thread::spawn(move || {
            let mut next = 0;
            let mut burst = Vec::new();
            while next < total || !burst.is_empty() {
                while burst.len() < 48 && next < total {
                    burst.push(Box::new(next));
                    next += 1;
                }
                if producer.push_batch(&mut burst) == 0 {
                    std::thread::yield_now();
                }
            }
        });
        let mut expected = 0;
        let mut burst = Vec::new();
        while expected < total {
            if consumer.pop_batch(&mut burst, 32) == 0 {
                std::thread::yield_now();
            }
            for item in burst.drain(..) {
                assert_eq!(*item, expected);
                expected += 1;
            }
        }
        sender.join().unwrap();
        assert!(consumer.is_empty());
    }
}

#[cfg(loom)]
mod interleavings {
    use loom::thread;

    use crate::channel;

    /// A producer that meets a full ring against a consumer that meets an empty one: whatever the
    /// interleaving, slots are handed over in order and every item arrives once.
    #[test]
    fn batches() {
        loom::model(|| {
            let (mut producer, mut consumer) = channel(2);
            let sender = thread::spawn(move || {
                let mut items = vec![1, 2, 3];
                let pushed = producer.push_batch(&mut items) + producer.push_batch(&mut items);
                assert_eq!(items.len(), 3 - pushed);
                pushed
            });
            let mut items = Vec::new();
            consumer.pop_batch(&mut items, 1);
            consumer.pop_batch(&mut items, 2);
            let pushed = sender.join().unwrap();
            consumer.pop_batch(&mut items, 2);
            assert_eq!(items, [1, 2, 3][..pushed]);
        });
    }

    #[test]
    fn single_items_over_one_slot() {
        loom::model(|| {
            let (mut producer, mut consumer) = channel(1);
            let sender =
                thread::spawn(move || (1..=3).filter(|i| producer.push(*i).is_ok()).collect());
            let mut items: Vec<u8> = (0..2).filter_map(|_| consumer.pop()).collect();
            let pushed: Vec<u8> = sender.join().unwrap();
            items.extend(consumer.pop());
            assert_eq!(items, pushed);
        });
    }

    /// Either end may be dropped last, on either thread; what is left is freed once.
    #[test]
    fn drop_frees_what_is_left() {
        loom::model(|| {
            let item = std::sync::Arc::new(());
            let (mut producer, mut consumer) = channel(2);
            let mut items = vec![item.clone(), item.clone()];
            let sender = thread::spawn(move || {
                producer.push_batch(&mut items);
            });
            consumer.pop();
            drop(consumer);
            sender.join().unwrap();
            assert_eq!(std::sync::Arc::strong_count(&item), 1);
        });
    }
}
