import { graphql } from 'relay-runtime';

graphql`
  query membersQuery($first: Int!, $after: String) {
    viewer {
      accessLevel
    }
    ...members_page @arguments(first: $first, after: $after)
  }
`;

graphql`
  fragment members_page on Query
  @refetchable(queryName: "membersPageQuery")
  @argumentDefinitions(first: { type: "Int", defaultValue: 25 }, after: { type: "String" }) {
    members(first: $first, after: $after) @connection(key: "members_members") {
      changeCursor
      edges {
        node {
          ...members_row
        }
      }
    }
  }
`;

graphql`
  fragment members_row on Member @refetchable(queryName: "memberRefetchQuery") {
    id
    displayName
    accessLevel
    organization {
      id
      name
    }
  }
`;

graphql`
  subscription membersSubscription($after: ChangeCursor) {
    memberChanges(after: $after) {
      __typename
      ... on MemberChange {
        cursor
        operation
        memberId
        member {
          ...members_row
        }
      }
      ... on StreamHeartbeat {
        cursor
      }
      ... on ResyncRequired {
        reason
      }
    }
  }
`;

graphql`
  mutation membersMutation($input: SetRoleAccessInput!) {
    setRoleAccess(input: $input) {
      __typename
      ... on SetRoleAccessSuccess {
        role {
          id
          accessLevel
        }
      }
      ... on UserError {
        code
        message
      }
    }
  }
`;
