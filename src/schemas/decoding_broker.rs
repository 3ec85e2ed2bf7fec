//! A [`Broker`](crate::broker::Broker) that attaches the JSON of schemas to the records of another one.
