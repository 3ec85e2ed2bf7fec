#![allow(clippy::unwrap_used)]
use super::*;
use crate::kafka::wire::testing::{self, API_VERSIONS, Impostor, METADATA, next_request};
use std::sync::{Mutex, OnceLock};

/// Brokers that return topics with their ids (Metadata v12), each with its own view.
struct Brokers {
    impostors: Vec<Impostor>,
    /// The id of topic `t` that each reports.
    known: Arc<Mutex<Vec<Option<u128>>>>,
    /// The brokers that were asked, in order.
    queried: Arc<Mutex<Vec<usize>>>,
}

/// Which of the brokers report their own addresses.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Listed {
    All,
    /// The address of the first one is only in the bootstrap list, and leads to any of the others.
    AllButTheFirst,
}

impl Brokers {
    fn start(known: &[Option<u128>], listed: Listed) -> Self {
        let addresses: Arc<OnceLock<Vec<String>>> = Arc::default();
        let queried: Arc<Mutex<Vec<usize>>> = Arc::default();
        let known = Arc::new(Mutex::new(known.to_vec()));
        let first = usize::from(listed == Listed::AllButTheFirst);
        let one = |number: usize| {
            let (addresses, queried, known) = (addresses.clone(), queried.clone(), known.clone());
            Impostor::start(move |mut stream| {
                while let Some(request) = next_request(&mut stream) {
                    let body = match request.key {
                        // Metadata v12 only.
                        API_VERSIONS => [&[0, 0, 2, 0, METADATA as u8, 0, 0, 0, 12, 0][..], &[0; 5]].concat(),
                        _ => {
                            queried.lock().unwrap().push(number);
                            let nodes = addresses.wait().iter().enumerate().skip(first);
                            metadata(nodes, known.lock().unwrap()[number])
                        }
                    };
                    testing::respond_to(&mut stream, request.correlation, &body);
                }
            })
        };
        let impostors: Vec<_> = (0..known.lock().unwrap().len()).map(one).collect();
        addresses.set(impostors.iter().map(|broker| broker.address.clone()).collect()).unwrap();
        Self { impostors, known, queried }
    }

    /// A client with the first broker in its bootstrap list.
    fn cluster(&self) -> ClusterClient {
        ClusterClient::new(self.impostors[0].settings())
    }

    fn know(&self, known: &[Option<u128>]) {
        *self.known.lock().unwrap() = known.to_vec();
    }

    fn last(&self) -> usize {
        *self.queried.lock().unwrap().last().unwrap()
    }

    fn times(&self) -> usize {
        self.queried.lock().unwrap().len()
    }
}

/// Metadata v12, after the tags of its header: counts and lengths are one more than the number.
fn metadata<'a>(nodes: impl Iterator<Item = (usize, &'a String)>, id: Option<u128>) -> Vec<u8> {
    let nodes: Vec<_> = nodes.collect();
    let mut body = vec![0, 0, 0, 0, 0, nodes.len() as u8 + 1];
    for (node, address) in nodes {
        let (host, port) = address.split_once(':').unwrap();
        body.extend((node as i32).to_be_bytes());
        body.push(host.len() as u8 + 1);
        body.extend(host.as_bytes());
        body.extend(port.parse::<i32>().unwrap().to_be_bytes());
        body.extend([0, 0]);
    }
    // No cluster id, and broker 0 is the controller.
    body.extend([0, 0, 0, 0, 0, 1 + u8::from(id.is_some())]);
    if let Some(id) = id {
        body.extend([0, 0, 2, b't']);
        body.extend(id.to_be_bytes());
        // One partition, led by broker 0.
        body.extend([0, 2, 0, 0]);
        body.extend([0; 12]);
        body.extend([1, 1, 1, 0, 0, 0, 0, 0, 0]);
    }
    body.push(0);
    body
}

fn topic() -> TopicName {
    TopicName::new("t").unwrap()
}

fn look_up(cluster: &ClusterClient) -> Result<u128, BrokerError> {
    cluster.refresh(&topic(), AutoCreate::Never).map(|info| info.id.unwrap().as_u128())
}

fn list(cluster: &ClusterClient) -> Vec<u128> {
    cluster.list_topics().unwrap().iter().map(|info| info.id.unwrap().as_u128()).collect()
}

#[test]
fn a_topic_that_one_broker_does_not_know_is_not_missing() {
    let brokers = Brokers::start(&[None, Some(7), Some(7)], Listed::All);
    let cluster = brokers.cluster();
    for _ in 0..9 {
        assert_eq!(look_up(&cluster), Ok(7));
        assert!(cluster.cached(&topic()).is_some());
    }
    let queried = brokers.queried.lock().unwrap();
    assert!(queried.iter().filter(|number| **number == 0).count() >= 3, "{queried:?}");
}

#[test]
fn a_new_topic_needs_two_brokers_that_agree() {
    for known in [[Some(7), Some(8), Some(8)], [None, Some(8), Some(8)], [Some(8), None, None]] {
        let brokers = Brokers::start(&known, Listed::All);
        let cluster = brokers.cluster();
        assert_eq!(look_up(&cluster), Ok(8), "{known:?}");
    }
    let brokers = Brokers::start(&[Some(8), Some(8), Some(8)], Listed::All);
    let cluster = brokers.cluster();
    (0..3).for_each(|_| assert_eq!(look_up(&cluster), Ok(8)));
    assert_eq!(brokers.times(), 4, "once it is known, one broker is enough");
}

#[test]
fn a_topic_that_two_brokers_do_not_know_is_missing() {
    let brokers = Brokers::start(&[None, None, None], Listed::All);
    let cluster = brokers.cluster();
    assert_eq!(look_up(&cluster), Err(BrokerError::UnknownTopic(topic())));
    assert_eq!(brokers.times(), 2, "no more than needed");
    brokers.know(&[Some(7), Some(7), Some(7)]);
    assert_eq!(look_up(&cluster), Ok(7));
    brokers.know(&[None, None, None]);
    assert_eq!(look_up(&cluster), Err(BrokerError::UnknownTopic(topic())));
    assert_eq!(cluster.cached(&topic()), None);
}

#[test]
fn one_broker_suffices_in_a_cluster_of_one() {
    let brokers = Brokers::start(&[None], Listed::All);
    assert_eq!(look_up(&brokers.cluster()), Err(BrokerError::UnknownTopic(topic())));
    assert_eq!(brokers.times(), 1);
}

#[test]
fn while_no_other_broker_responds_a_topic_is_not_reported_as_missing() {
    let mut brokers = Brokers::start(&[Some(7), Some(7)], Listed::All);
    let cluster = brokers.cluster();
    assert_eq!(look_up(&cluster), Ok(7));
    drop(brokers.impostors.pop());
    brokers.know(&[None, None]);
    for _ in 0..3 {
        let again = look_up(&cluster);
        assert!(matches!(again, Err(BrokerError::StaleMetadata(_))), "{again:?}");
        assert!(cluster.cached(&topic()).is_some());
        assert!(cluster.view().outage.is_none(), "one of them responds");
    }
}

#[test]
fn behind_an_address_of_several_brokers_two_others_must_not_know_a_topic() {
    let brokers = Brokers::start(&[None, None, Some(7)], Listed::AllButTheFirst);
    let cluster = brokers.cluster();
    for _ in 0..6 {
        assert_eq!(look_up(&cluster), Ok(7));
    }
    brokers.know(&[None, None, None]);
    assert_eq!(look_up(&cluster), Err(BrokerError::UnknownTopic(topic())));
}

#[test]
fn a_list_of_a_broker_that_lags_behind_does_not_hide_a_topic() {
    let brokers = Brokers::start(&[Some(7), Some(7), Some(7)], Listed::All);
    let cluster = brokers.cluster();
    assert_eq!(look_up(&cluster), Ok(7));
    let mut known = [Some(7); 3];
    known[brokers.last()] = None;
    brokers.know(&known);
    assert_eq!(list(&cluster), [7]);
    brokers.know(&[None; 3]);
    assert_eq!(list(&cluster), [0u128; 0]);
}

#[test]
fn a_list_of_a_broker_that_is_cut_off_does_not_bring_a_deleted_topic_back() {
    let brokers = Brokers::start(&[Some(7), Some(7), Some(7)], Listed::All);
    let cluster = brokers.cluster();
    (0..3).for_each(|_| assert_eq!(look_up(&cluster), Ok(7)));
    // Recreated, and the next broker that lists topics does not know it yet.
    brokers.know(&[Some(8); 3]);
    (0..3).for_each(|_| assert_eq!(look_up(&cluster), Ok(8)));
    let mut known = [Some(8); 3];
    known[brokers.last()] = Some(7);
    brokers.know(&known);
    assert_eq!(list(&cluster), [8]);
    // Deleted for good.
    brokers.know(&[None; 3]);
    assert_eq!(look_up(&cluster), Err(BrokerError::UnknownTopic(topic())));
    let mut known = [None; 3];
    known[brokers.last()] = Some(7);
    brokers.know(&known);
    assert_eq!(list(&cluster), [0u128; 0]);
}
