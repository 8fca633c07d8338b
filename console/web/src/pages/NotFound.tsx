import { Heading, Link, Paragraph } from '@digdir/designsystemet-react';
import { Link as To } from 'wouter';

import { useMessages } from '../messages';
import { useTitle } from '../ui/title';

export function NotFound() {
  const { notFound } = useMessages();
  useTitle(notFound.title);
  return (
    <>
      <Heading level={1} data-size="lg">
        {notFound.title}
      </Heading>
      <Paragraph>{notFound.text}</Paragraph>
      <Link asChild>
        <To href="/medlemmer">{notFound.home}</To>
      </Link>
    </>
  );
}
