import { session } from './session/session';
import { SignIn } from './session/SignIn';
import { Console } from './Console';
import { useStore } from './store';
import { Loading } from './ui/Loading';

export function App() {
  const now = useStore(session);
  switch (now.state) {
    case 'starting':
      return <Loading />;
    case 'out':
      return <SignIn ways={now.ways} trouble={now.trouble} />;
    case 'in':
      return <Console credentials={now.credentials} />;
  }
}
