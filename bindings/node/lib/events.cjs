"use strict";

/*
 * The calls and listeners that use this thread's queue. A pending call keeps the process alive. A listener for a
 * loss, for the log or for a holder does not.
 */

const { address, c, must, slot, takeError, text } = require("./native.cjs");
const { queue } = require("./queue.cjs");

/** Makes a sender, whose tag is `lastTag` of the queue afterwards. */
const sender = (mine) => c.consul_lock_sender_new(mine.pointer, ++mine.lastTag);

/** Keeps the process alive until `letEnd`. */
function keepAlive(mine) {
  if (mine.pending++ === 0) {
    mine.socket.ref();
  }
}

/** Ends one `keepAlive`. */
function letEnd(mine) {
  if (--mine.pending === 0) {
    mine.socket.unref();
  }
}

/** Calls a function whose name ends in _start. The promise is fulfilled with the value of `read` for its event. */
function begin(done, read, call, args) {
  return new Promise((resolve, reject) => {
    const mine = queue();
    const { receivers } = mine;
    const asked = sender(mine);
    const tag = mine.lastTag;
    if (call(...args, done, asked, slot) !== 0) {
      c.consul_lock_sender_free(asked);
      reject(takeError(slot[0]));
      return;
    }
    receivers.set(tag, (event) => {
      receivers.delete(tag);
      letEnd(mine);
      resolve(read(event));
    });
    keepAlive(mine);
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

/** The answer in an event: `{ error }`, or `{ answer }`, which `read` makes of the pointer, and which may be null. */
function answerIn(event, take, read) {
  const error = failure(event);
  if (error !== null) {
    return { error };
  }
  const pointer = take(event);
  return { error, answer: pointer === null ? null : read(pointer) };
}

/** Asks for a holder. The answer is null where the lock is free. */
function startHolder(client, key, read) {
  const answer = (event) => answerIn(event, c.consul_lock_event_take_holder, read);
  const done = address.consul_lock_queue_holder_done;
  return begin(done, answer, c.consul_lock_holder_start, [client, key]);
}

/** Asks for all sessions that hold a key or wait for it. */
function startHolders(client, key, read) {
  const answer = (event) => answerIn(event, c.consul_lock_event_take_holders, read);
  const done = address.consul_lock_queue_holders_done;
  return begin(done, answer, c.consul_lock_holders_start, [client, key]);
}

/**
 * Observes the holder of a key. `receiver` gets an answer as of startHolder at once and at each change. Until `end`
 * the result also keeps the process alive, or does not.
 */
function observeHolder(client, key, read, receiver) {
  const mine = queue();
  const listening = sender(mine);
  const tag = mine.lastTag;
  const observer = c.consul_lock_observe(
    client,
    key,
    address.consul_lock_queue_observed,
    listening,
    address.consul_lock_sender_free,
    slot,
  );
  must(observer !== null);
  mine.receivers.set(tag, (event) => {
    receiver(answerIn(event, c.consul_lock_event_take_holder, read));
  });
  return {
    keepAlive: () => keepAlive(mine),
    letEnd: () => letEnd(mine),
    end() {
      mine.receivers.delete(tag);
      c.consul_lock_observer_free(observer);
    },
  };
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

module.exports = {
  bindToThread,
  listenForLoss,
  listenToLog,
  observeHolder,
  start,
  startHolder,
  startHolders,
};
