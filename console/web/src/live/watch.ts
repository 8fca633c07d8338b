import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { useRef, useState } from 'react';

import { useLive } from './live';

interface After extends Record<string, unknown> {
  after: string | null;
}

/** Calls for a new look at one thing: once the stream has begun, since it tells nothing earlier, and at every change. */
export function useWatch<Data, Message extends { __typename: string }>(
  document: TypedDocumentNode<Data, { after?: string | null | undefined }>,
  field: (data: Data) => Message,
  isAbout: (message: Exclude<Message, { __typename: 'ResyncRequired' }>) => boolean,
  look: () => void,
): void {
  const [round, setRound] = useState(0);
  const begun = useRef(-1);
  const stream = document as TypedDocumentNode<Data, After>;
  const handlers = {
    onMessage(message: Exclude<Message, { __typename: 'ResyncRequired' }>): void {
      if (begun.current !== round || isAbout(message)) look();
      begun.current = round;
    },
    onEnd: (): void => setRound(round + 1),
  };
  useLive(stream, { after: null }, field, handlers, round);
}
