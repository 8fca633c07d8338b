/**
 * What was read later is shown last, whichever way it came.
 *
 * Answers to queries come over several connections and live changes over one of their own, so an answer can be older
 * than what is shown already. The cache would keep it, and nothing would come to put it right. Hence a list is asked for
 * again only when the answer under way is there, and a live change waits for the answers that may be older.
 */
import type { Exchange, Operation, OperationResult } from '@urql/core';
import { filter, makeSubject, merge, pipe } from 'wonka';

interface Asked {
  /** The same was asked for once more meanwhile. */
  again?: Operation;
}

interface Held {
  change: OperationResult;
  /** The queries whose answers come first. */
  after: Set<Asked>;
}

export const inOrder: Exchange = ({ forward }) => (operations) => {
  const later = makeSubject<Operation>();
  const results = makeSubject<OperationResult>();
  const underWay = new Map<number, Asked>();
  const held: Held[] = [];

  /** Whether it may be sent now. */
  const sent = (operation: Operation): boolean => {
    if (operation.kind === 'teardown') {
      delete underWay.get(operation.key)?.again;
      answered(operation.key);
    }
    if (operation.kind !== 'query') return true;
    const before = underWay.get(operation.key);
    if (before) before.again = operation;
    else underWay.set(operation.key, {});
    return !before;
  };

  const answered = (key: number): void => {
    const asked = underWay.get(key);
    if (!asked) return;
    underWay.delete(key);
    held.forEach(({ after }) => after.delete(asked));
    const first = held.findIndex(({ after }) => after.size > 0);
    const due = held.splice(0, first < 0 ? held.length : first);
    due.forEach(({ change }) => results.next(change));
    if (asked.again && sent(asked.again)) later.next(asked.again);
  };

  const taken = (result: OperationResult): void => {
    if (result.operation.kind === 'subscription' && (held.length > 0 || underWay.size > 0)) {
      held.push({ change: result, after: new Set(underWay.values()) });
      return;
    }
    results.next(result);
    if (result.operation.kind === 'query') answered(result.operation.key);
  };

  const toSend = merge([pipe(operations, filter(sent)), later.source]);
  const none = pipe(
    forward(toSend),
    filter((result) => {
      taken(result);
      return false;
    }),
  );
  return merge([none, results.source]);
};
