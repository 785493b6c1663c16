"use strict";

/*
 * The calls and listeners that use this thread's queue. A pending call keeps the process alive. A listener for a
 * loss or for the log does not.
 */

const { address, c, must, slot, takeError, text } = require("./native.cjs");
const { queue } = require("./queue.cjs");

/** Makes a sender, whose tag is `lastTag` of the queue afterwards. */
const sender = (mine) => c.consul_lock_sender_new(mine.pointer, ++mine.lastTag);

/** Calls a function whose name ends in _start. The promise is fulfilled with the value of `read` for its event. */
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
 * Binds a lock to this thread, which worker.terminate() may end at any time. The library then cancels the lock's
 * acquire at its next request, and stops its renewals.
 */
function bindToThread(lock) {
  must(c.consul_lock_bind_to_queue(lock, queue().pointer, slot) === 0);
}

/** The error of a call, or null. */
function failure(event) {
  return c.consul_lock_event_code(event) === 0
    ? null
    : takeError(c.consul_lock_event_take_error(event));
}

/**
 * Starts a call. The promise is rejected if the library refuses to start it. Otherwise the promise is fulfilled with
 * the error of the call, or null.
 */
function start(call, ...args) {
  return begin(address.consul_lock_queue_done, failure, call, args);
}

/** Asks for a holder. `read` gets the holder's pointer; the result is null where the lock is free. */
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

/** Calls `receiver` with the number of the reason when a lock is lost. Returns a function that removes `receiver`. */
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
 * Calls `receiver` with each line of the log of the whole process, and the number of its level. It replaces the
 * receiver before, also one of another thread. Null turns the log off.
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
