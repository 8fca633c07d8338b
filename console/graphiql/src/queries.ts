/** What an administrator looks at first: one tab each. */
export const queries = [
  `# The first page of members. Hand changeCursor
# to LiveMembers as "after": no change is missed.
query Members {
  members(first: 10) {
    totalCount
    edges {
      node {
        displayName
        state
        accessLevel
        organization {
          name
        }
        roles {
          role {
            code
          }
        }
      }
    }
    changeCursor
  }
}
`,
  `# What came from the portal last,
# and what became of it.
query SyncLog {
  syncLog(first: 10) {
    edges {
      node {
        eventType
        receivedAt
        status
        outcome
        detail
        member {
          displayName
        }
      }
    }
  }
}
`,
  `# Members as they change, until you stop it.
# A heartbeat tells that the line is open.
subscription LiveMembers {
  memberChanges {
    __typename
    ... on MemberChange {
      operation
      member {
        displayName
        state
        accessLevel
      }
      occurredAt
    }
    ... on StreamHeartbeat {
      serverTime
    }
  }
}
`,
];
