"use strict";

/*
 * What this package asks the library through this thread's queue. While calls are pending they keep the
 * process alive; what is only listened to (a loss, the log) does not.
 */

const { address, c, must, slot, takeError, text } = require("./native.cjs");
const { queue } = require("./queue.cjs");

/** A new sender; its tag is now the last one of the queue. */
const sender = (mine) => c.consul_lock_sender_new(mine.pointer, ++mine.lastTag);

/** Calls a function whose name ends in _start; the promise is what `read` makes of its event. */
function begin(done, read, call, args) {
  return new Promise((resolve, reject) => {
    const mine = queue();
    const { receivers, socket } = mine;
    const asked = sender(mine);
    const tag = mine.lastTag;
    if (call(...args, done, asked, slot) !== 0) {
      c.consul_lock_sender_free(asked);
      reject(takeError(slot[0]));
      return;
    }
    receivers.set(tag, (event) => {
      receivers.delete(tag);
      if (--mine.pending === 0) {
        socket.unref();
      }
      resolve(read(event));
    });
    if (mine.pending++ === 0) {
      socket.ref();
    }
  });
}

/**
 * Ties a lock to this thread, which may be ended at any time by worker.terminate(), without a last word:
 * the library then cancels its acquire, when it next asks Consul for it, and renews it no more.
 */
function bindToThread(lock) {
  must(c.consul_lock_bind_to_queue(lock, queue().pointer, slot) === 0);
}

/** How a call ended: null, or its error. */
function failure(event) {
  return c.consul_lock_event_code(event) === 0
    ? null
    : takeError(c.consul_lock_event_take_error(event));
}

/**
 * Begins a call. The promise is rejected if it was refused before anything began; otherwise it is
 * fulfilled with how the call ended: null, or its error.
 */
function start(call, ...args) {
  return begin(address.consul_lock_queue_done, failure, call, args);
}

/** Begins the question for a holder, whose pointer `read` is given: null for nobody. */
function startHolder(client, key, read) {
  const answer = (event) => {
    const error = failure(event);
    if (error !== null) {
      return { error };
    }
    const pointer = c.consul_lock_event_take_holder(event);
    return { holder: pointer === null ? null : read(pointer) };
  };
  return begin(address.consul_lock_queue_holder_done, answer, c.consul_lock_holder_start, [
    client,
    key,
  ]);
}

/** Has `receiver` told of the loss of a lock, with the number of the reason. Returns what makes it forgotten. */
function listenForLoss(lock, receiver) {
  const mine = queue();
  const { receivers } = mine;
  const listening = sender(mine);
  const tag = mine.lastTag;
  must(
    c.consul_lock_set_lost_callback(
      lock,
      address.consul_lock_queue_lost,
      listening,
      address.consul_lock_sender_free,
      slot,
    ) === 0,
  );
  receivers.set(tag, (event) => {
    receivers.delete(tag);
    receiver(c.consul_lock_event_code(event));
  });
  return () => receivers.delete(tag);
}

/**
 * Has `receiver` given each line of the log of the whole process, with the number of its level, instead
 * of whom was given them before, in whichever thread; null: nobody.
 */
function listenToLog(receiver, level) {
  const mine = queue();
  mine.receivers.delete(mine.logTag);
  if (receiver === null) {
    c.consul_lock_set_log_callback(null, null, null, level);
    return;
  }
  const listening = sender(mine);
  mine.logTag = mine.lastTag;
  mine.receivers.set(mine.logTag, (event) => {
    receiver(c.consul_lock_event_code(event), text(c.consul_lock_event_line, event));
  });
  c.consul_lock_set_log_callback(
    address.consul_lock_queue_log,
    listening,
    address.consul_lock_sender_free,
    level,
  );
}

module.exports = { bindToThread, listenForLoss, listenToLog, start, startHolder };
