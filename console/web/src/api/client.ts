/** GraphQL over HTTP for queries and mutations, over the one socket for subscriptions, with a normalised cache. */
import { cacheExchange, type KeyGenerator } from '@urql/exchange-graphcache';
import { Client, fetchExchange, mapExchange, subscriptionExchange, type CombinedError } from 'urql';

import type { Connection } from '../live/connection';
import { plainData } from '../plain';
import { inOrder } from './order';

// What has no id belongs to whatever shows it.
const embedded: KeyGenerator = () => null;
const embeddedTypes = [
  ...['MemberConnection', 'MemberEdge', 'MemberChange', 'OrganizationConnection', 'OrganizationEdge', 'PageInfo'],
  ...['RoleAssignment', 'OrganizationAccess', 'Viewer', 'ViewerChange', 'StreamHeartbeat', 'ResyncRequired'],
  ...['SyncLogConnection', 'SyncLogEdge', 'SyncLogChange', 'SyncAttempt', 'FieldChange', 'SyncHealth'],
  ...['DeliveryCounts', 'HourlyDeliveries', 'Rejections', 'OutcomeCount', 'StatusCount'],
  ...['ReplayEventsSuccess', 'ReplaySelectionError', 'SetRoleAccessSuccess', 'RoleNotFoundError'],
  ...['LastAdministratorError', 'CorrectMembershipSuccess', 'CorrectionError', 'MemberNotFoundError'],
  ...['OrganizationNotFoundError', 'PartProvenance', 'Source', 'ReconciliationConnection', 'ReconciliationEdge'],
  ...['DriftConnection', 'DriftEdge', 'HeldRemovalConnection', 'HeldRemovalEdge'],
  ...['StartReconciliationSuccess', 'StartReconciliationError', 'ReleaseHeldSuccess', 'ReleaseHeldError'],
  ...['AcknowledgeConcernSuccess', 'AcknowledgeConcernError', 'ForgetMemberSuccess', 'ForgetMemberError'],
];

export function openClient(token: () => string, connection: Connection, onRefused: (code: string) => void): Client {
  return new Client({
    url: '/graphql',
    preferGetMethod: false,
    fetchOptions: () => ({ headers: { authorization: `Bearer ${token()}` } }),
    exchanges: [
      mapExchange({
        onError(error) {
          // A 503 says the same while an identity provider is away; that passes.
          const code = error.response?.status === 503 ? null : refusal(error);
          if (code !== null) onRefused(code);
        },
      }),
      cacheExchange({ keys: Object.fromEntries(embeddedTypes.map((type) => [type, embedded])) }),
      // Before the answers are kept in the cache.
      mapExchange({ onResult: (result) => ({ ...result, data: plainData(result.data) }) }),
      inOrder,
      fetchExchange,
      subscriptionExchange({
        forwardSubscription: ({ query = '', variables, operationName }) => ({
          subscribe: (sink) => ({
            unsubscribe: connection.subscribe({ query, variables, operationName }, sink as never),
          }),
        }),
      }),
    ],
  });
}

/** The portal has not told of this member yet: the token stays good, and it can be tried again. */
export function isUnknown({ extensions }: { extensions: Record<string, unknown> }): boolean {
  return extensions.reason === 'MEMBER_UNKNOWN';
}

/** The code of an error that means that this viewer is no longer served at all. */
function refusal(error: CombinedError): string | null {
  const codes = error.graphQLErrors.filter((each) => !isUnknown(each)).map(({ extensions }) => extensions.code);
  return (['MEMBER_INACTIVE', 'UNAUTHENTICATED'] as const).find((code) => codes.includes(code)) ?? null;
}
