/** A stream of changes that misses nothing: begun at the cursor of a query, gone on with after every interruption. */
import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { useEffect, useEffectEvent } from 'react';
import { useClient } from 'urql';

interface Handlers<Message> {
  onMessage: (message: Message) => void;
  /** The stream cannot go on: query again, and give the cursor of that. */
  onEnd: () => void;
}

/** Subscribes while there are variables, and anew in every round. `field` finds the message in the data. */
export function useLive<Data, Message extends { __typename: string }, Variables extends Record<string, unknown>>(
  document: TypedDocumentNode<Data, Variables>,
  variables: Variables | null,
  field: (data: Data) => Message,
  { onMessage, onEnd }: Handlers<Exclude<Message, { __typename: 'ResyncRequired' }>>,
  round = 0,
): void {
  const client = useClient();
  const told = useEffectEvent(onMessage);
  const ended = useEffectEvent(onEnd);
  const found = useEffectEvent(field);
  const key = variables && JSON.stringify(variables);

  useEffect(() => {
    if (key === null) return;
    const { unsubscribe } = client.subscription(document, JSON.parse(key) as Variables).subscribe((result) => {
      // When a stream is over, urql gives its last message once more.
      if (!result.data || !result.hasNext) return;
      const message = found(result.data);
      if (message.__typename === 'ResyncRequired') ended();
      else told(message as Exclude<Message, { __typename: 'ResyncRequired' }>);
    });
    return unsubscribe;
  }, [client, document, key, round]);
}
