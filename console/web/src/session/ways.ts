/** How somebody can sign in, and what they have once they did. */

/** What requests are signed with; the token is renewed meanwhile. */
export interface Credentials {
  token(): string;
  /** Signs out at the identity provider too, where there is one. */
  signOut(): Promise<void>;
}

export interface Person {
  /** Null for an operator. */
  name: string | null;
  accessLevel: 'MEMBER' | 'PEER_MENTOR' | 'COORDINATOR' | 'ADMIN';
  organization: string | null;
  token: string;
}

/** The ways to sign in that the service offers. */
export interface Ways {
  oidc: { issuer: string; clientId: string; scope: string } | null;
  /** In development: the people whom anybody may sign in as. */
  people: Person[] | null;
}
