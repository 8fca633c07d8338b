import { Link } from '@digdir/designsystemet-react';
import { ArrowLeftIcon } from '@navikt/aksel-icons';
import { Link as To } from 'wouter';

export function Back({ href, children }: { href: string; children: string }) {
  return (
    <Link asChild className="back">
      <To href={href}>
        <ArrowLeftIcon aria-hidden fontSize="1.25rem" />
        {children}
      </To>
    </Link>
  );
}
