import type { TypedDocumentNode } from '@graphql-typed-document-node/core';
import { useRef } from 'react';

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
  const begun = useRef(false);
  const stream = document as TypedDocumentNode<Data, After>;
  useLive(stream, { after: null }, field, {
    onMessage(message) {
      if (!begun.current || isAbout(message)) look();
      begun.current = true;
    },
    // A stream that was cut off for good: what it would have told is seen at the next look.
    onEnd: look,
  });
}
