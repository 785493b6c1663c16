"use strict";

/*
 * Observers of a key's holder, as asynchronous iterators. An observer keeps only the newest state that the program has
 * not taken yet, so a slow program costs no memory that grows.
 */

const { isMainThread } = require("node:worker_threads");
const { observeHolder } = require("./events.cjs");
const { readObserved } = require("./holder.cjs");
const { plainKey } = require("./options.cjs");
const { signalIn } = require("./signals.cjs");

/** The open observers of this thread, of which a worker frees those that it leaves behind. */
const open = new Set();

/** What an observer and its listeners share. It does not keep the observer reachable. */
class State {
  /** The newest state that the program has not taken. Null: none. */
  #news = null;
  /** The pending calls of `next`. They keep the process alive, and their observer reachable. */
  #waiting = [];
  /** The library's observer. Null: this observer has ended. */
  #native = null;
  /** `[reason]` of the signal, until a call of `next` has thrown it. */
  #thrown = null;
  #signal;

  constructor(client, key, signal) {
    if (signal?.aborted) {
      this.#thrown = [signal.reason];
      return;
    }
    this.#native = observeHolder(client, key, readObserved, (answer) => this.#receive(answer));
    this.#signal = signal;
    signal?.addEventListener("abort", this);
    open.add(this);
    if (!isMainThread && open.size === 1) {
      process.once("exit", endAll);
    }
  }

  #receive({ error, answer: holder = null }) {
    const news = { holder, error };
    const first = this.#take();
    if (first === undefined) {
      this.#news = news;
    } else {
      first.resolve({ done: false, value: news });
    }
  }

  /** Takes the call of `next` that has waited longest. */
  #take() {
    const first = this.#waiting.shift();
    if (first !== undefined && this.#waiting.length === 0) {
      this.#native?.letEnd();
    }
    return first;
  }

  next(observer) {
    if (this.#thrown !== null) {
      const [reason] = this.#thrown;
      this.#thrown = null;
      return Promise.reject(reason);
    }
    if (this.#native === null) {
      return Promise.resolve({ done: true, value: undefined });
    }
    if (this.#news !== null) {
      const value = this.#news;
      this.#news = null;
      return Promise.resolve({ done: false, value });
    }
    return new Promise((resolve, reject) => {
      if (this.#waiting.push({ resolve, reject, observer }) === 1) {
        this.#native?.keepAlive();
      }
    });
  }

  /** The signal is aborted. */
  handleEvent() {
    const { reason } = this.#signal;
    const first = this.#take();
    if (first === undefined) {
      this.#thrown = [reason];
    } else {
      first.reject(reason);
    }
    this.end();
  }

  end() {
    if (this.#native === null) {
      return;
    }
    for (let call = this.#take(); call !== undefined; call = this.#take()) {
      call.resolve({ done: true, value: undefined });
    }
    this.#signal?.removeEventListener("abort", this);
    const native = this.#native;
    this.#native = null;
    this.#news = null;
    open.delete(this);
    if (!isMainThread && open.size === 0) {
      process.off("exit", endAll);
    }
    native.end();
  }
}

function endAll() {
  for (const state of open) {
    state.end();
  }
}

/** The collector ends an observer that no call waits for. */
const unreachable = new FinalizationRegistry((state) => state.end());

class Observer {
  #state;

  constructor(client, key, options) {
    this.#state = new State(
      client,
      plainKey(key),
      signalIn(options, "an observer takes { signal }, and no other option"),
    );
    unreachable.register(this, this.#state, this);
  }

  next() {
    return this.#state.next(this);
  }

  async return(value) {
    this.close();
    return { done: true, value };
  }

  close() {
    unreachable.unregister(this);
    this.#state.end();
  }

  [Symbol.asyncIterator]() {
    return this;
  }

  async [Symbol.asyncDispose]() {
    this.close();
  }
}

/** Observes with a client, or with the default client if it is null. */
const observeWith = (client, key, options) => new Observer(client, key, options);

module.exports = { observeWith };
