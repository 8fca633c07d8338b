// The schema is held to what graphql-eslint recommends for schemas and for Relay.
import graphql from '@graphql-eslint/eslint-plugin';

// What has no id because it has no identity: it is a part or a summary of something else.
const VALUES = [
  'AcknowledgeConcernSuccess',
  'CorrectMembershipSuccess',
  'DeliveryCounts',
  'ForgetMemberSuccess',
  'HourlyDeliveries',
  'OutcomeCount',
  'MemberChangePage',
  'PageInfo',
  'PartProvenance',
  'Rejections',
  'ReleaseHeldSuccess',
  'ReplayEventsSuccess',
  'SetRoleAccessSuccess',
  'Source',
  'StartReconciliationSuccess',
  'StatusCount',
  'SyncAttempt',
  'SyncHealth',
];
const VALUE_SUFFIXES = ['Connection', 'Edge', 'Error', 'Change', 'Heartbeat', 'Required'];

export default [
  {
    files: ['**/*.graphql'],
    languageOptions: {
      parser: graphql.parser,
      parserOptions: { graphQLConfig: { schema: process.env.GRAPHQL_SCHEMA } },
    },
    plugins: { '@graphql-eslint': graphql },
    rules: {
      ...graphql.configs['flat/schema-recommended'].rules,
      ...graphql.configs['flat/schema-relay'].rules,
      '@graphql-eslint/require-deprecation-reason': 'error',
      '@graphql-eslint/require-nullable-fields-with-oneof': 'error',
      '@graphql-eslint/no-hashtag-description': 'error',
      '@graphql-eslint/require-description': [
        'error',
        { types: true, rootField: true, FieldDefinition: true, EnumValueDefinition: true },
      ],
      // `memberNumber` is what the portal calls it.
      '@graphql-eslint/no-typename-prefix': 'off',
      // Short lists that are always wanted whole need no pages.
      '@graphql-eslint/relay-edge-types': [
        'error',
        // A record of the audit trail is read in its place, and never by an id.
        { withEdgeSuffix: true, shouldImplementNode: false, listTypeCanWrapOnlyEdgeType: false },
      ],
      '@graphql-eslint/strict-id-in-types': [
        'error',
        { exceptions: { types: VALUES, suffixes: VALUE_SUFFIXES } },
      ],
    },
  },
];
