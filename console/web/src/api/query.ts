import { useState } from 'react';
import { useQuery as useUrqlQuery, type AnyVariables, type UseQueryArgs, type UseQueryResponse } from 'urql';

/** urql's, but what was answered stays when asking again has failed: that the line is broken is told elsewhere. */
export function useQuery<Data, Variables extends AnyVariables>(
  args: UseQueryArgs<Variables, Data>,
): UseQueryResponse<Data, Variables> {
  const [result, ask] = useUrqlQuery(args);
  const [kept, keep] = useState<{ key: number | undefined; data: Data }>();
  const key = result.operation?.key;
  if (result.data && result.data !== kept?.data) keep({ key, data: result.data });
  const lasting = result.error && key === kept?.key ? kept?.data : undefined;
  return [{ ...result, data: result.data ?? lasting }, ask];
}
