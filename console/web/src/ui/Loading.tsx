import { Spinner } from '@digdir/designsystemet-react';

import { useMessages } from '../messages';

export function Loading() {
  const text = useMessages();
  return (
    <div className="loading">
      <Spinner aria-label={text.loading} data-size="lg" />
    </div>
  );
}
